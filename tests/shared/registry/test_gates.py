"""Gates and objectives, judged without a registry."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from paddlepress.registry.gates import Gate, Objective, apart, check, number


def said(gate: Gate, metrics: dict[str, float], **references: dict[str, float] | None) -> tuple[bool, str]:
    result = check([gate], metrics, references.get("base"), references.get("champion"))[0]
    return result.passed, result.text


def test_a_missed_limit_is_named_with_the_value() -> None:
    """A failing gate's text has the metric, the value with its unit, and the limit."""
    assert said(Gate(metric="drop", at_most=0.3), {"drop": 0.42}) == (
        False,
        "drop 0.42 points is above its limit of 0.3",
    )
    passed, text = said(Gate(metric="ratio", at_least=4), {"ratio": 3.9})
    assert not passed
    assert text.startswith("ratio 3.9") and text.endswith("is below its limit of 4")


def test_the_limit_itself_passes() -> None:
    """A value on the limit passes, and so does one that only floating point puts beside it."""
    assert said(Gate(metric="ratio", at_least=4), {"ratio": 4.0})[0]
    champion = {"accuracy": 98.81}
    gate = Gate(metric="accuracy", against="champion", at_least=-0.3)
    assert said(gate, {"accuracy": 98.51}, champion=champion)[0]
    assert not said(gate, {"accuracy": 98.50}, champion=champion)[0]


def test_a_difference_that_rounding_would_hide_is_shown() -> None:
    """A value that reads like the limit and still misses it is written out."""
    text = said(Gate(metric="drop", at_most=0.3), {"drop": 0.3000001})[1]
    assert "0.3000001" in text


def test_two_numbers_are_told_with_the_figures_that_tell_them_apart() -> None:
    """A near tie reads as one, and equal numbers as equal."""
    assert apart(8.8434, 8.8431) == ("8.8434", "8.8431")
    assert apart(99.1, 12.0) == ("99.1", "12")
    assert apart(3.0, 3.0) == ("3", "3")
    assert apart(1.0, 1.0 + 2**-52) == ("1.0", "1.0000000000000002")


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.84312, "8.843"), (61706.0, "61,706"), (123456.7, "123,457"), (1e308, "1e+308"), (0.00012, "0.00012")],
)
def test_a_number_reads_well_at_any_size(value: float, text: str) -> None:
    """Bytes have their thousands marked; what no measurement gives is not written out in hundreds of digits."""
    assert number(value) == text


def test_gates_against_base_and_champion_judge_the_difference() -> None:
    """With `against`, the variant's metric minus the reference's is what the limit is for."""
    gate = Gate(metric="accuracy", against="base", at_least=-0.3)
    passed, text = said(gate, {"accuracy": 98.2}, base={"accuracy": 99.0})
    assert not passed
    assert "98.2" in text and "the base's 99" in text and "limit of -0.3" in text


def test_without_a_champion_its_gate_passes_and_says_so() -> None:
    """The first champion has nobody to be compared with; a missing base is a failure, though."""
    passed, text = said(Gate(metric="accuracy", against="champion", at_least=-0.3), {"accuracy": 98.2})
    assert passed and "no champion" in text
    passed, text = said(Gate(metric="accuracy", against="base", at_least=-0.3), {"accuracy": 98.2})
    assert not passed and "of the base was not measured" in text


@pytest.mark.parametrize("metrics", [{}, {"speedup_b1": float("nan")}])
def test_what_was_not_measured_fails_with_its_reason(metrics: dict[str, float]) -> None:
    """A metric that is missing or not a number fails its gate, and the reason for it is told."""
    gate = Gate(metric="speedup_b1", at_least=2)
    result = check([gate], metrics, None, None, {"speedup_b1": "onnxruntime has no such operator"})[0]
    assert not result.passed and result.value is None
    assert "speedup_b1 was not measured (onnxruntime has no such operator)" in result.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "acuracy", "at_least": 1}, "unknown metric 'acuracy'. Did you mean 'accuracy'? Valid: accuracy"),
        ({"metric": "drop"}, "exactly one of 'at_least' and 'at_most'"),
        ({"metric": "drop", "at_least": 1, "at_most": 2}, "exactly one of 'at_least' and 'at_most'"),
        ({"metric": "drop", "at_most": 1, "versus": "base"}, "Extra inputs are not permitted"),
        ({"metric": "drop", "at_most": 1, "against": "teacher"}, "'base' or 'champion'"),
        ({"metric": "drop", "at_most": float("inf")}, "finite"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    """A gate on an unknown metric, or with no limit or two, is refused when the recipe is read."""
    with pytest.raises(ValidationError) as caught:
        Gate.model_validate(fields)
    assert message in str(caught.value)


def test_objectives() -> None:
    """An objective has one direction and one known metric, and turns it so that more is better."""
    assert Objective(minimize="bytes").score({"bytes": 10.0}) == -10.0
    assert Objective(maximize="accuracy").score({"accuracy": 10.0}) == 10.0
    assert Objective(maximize="accuracy").score({"accuracy": float("nan")}) is None
    for wrong in ({}, {"maximize": "accuracy", "minimize": "bytes"}, {"maximize": "size"}):
        with pytest.raises(ValidationError):
            Objective.model_validate(wrong)


def test_gates_import_nothing_heavy() -> None:
    """Recipes are checked with gates, so these bring in none of the big libraries."""
    heavy = ("mlflow", "paddle", "numpy", "pandas", "onnxruntime", "sqlalchemy")
    code = f"import sys, paddlepress.registry.gates; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
