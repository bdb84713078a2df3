"""The table of metrics, and the file of an evaluation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from paddlepress.core.errors import ArtifactError
from paddlepress.evaluation.metrics import known, measurements
from paddlepress.evaluation.result import ClassResult, Evaluation

EVALUATION = Evaluation(
    metrics={"accuracy": 98.5, "bytes": 1000},
    per_class=[ClassResult(name="0", count=3, accuracy=100.0, base_accuracy=66.0, change=34.0)],
    missing={"paddle_speedup_b1": "no such operator"},
    environment={"cores": "2"},
    model_digest="aa",
    base_digest="bb",
    files={"graph.onnx.gz": 1000},
)


def test_the_table_needs_nothing_heavy() -> None:
    """A recipe's gates can be checked without NumPy, Paddle or ONNX Runtime."""
    code = (
        "import sys\nfrom paddlepress.evaluation.metrics import known\nknown()\n"
        "print([m for m in ('numpy', 'paddle', 'onnxruntime', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_figures_of_one_thing_stand_together() -> None:
    """Tables begin with how good a model is, by each task with its interval, and go on with how large it is."""
    names = list(known())
    assert names[:3] == ["accuracy", "accuracy_low", "accuracy_high"]
    assert names.index("drop") + 1 == names.index("bytes")
    assert all(metric.label for metric in known().values())
    assert [each.position for each in measurements().values()] == sorted(e.position for e in measurements().values())


def test_numbers_are_written_with_their_units() -> None:
    """Percent and factors stand by the number, other units after a space."""
    assert known()["accuracy"].text(98.764) == "98.76%"
    assert known()["ratio"].text(4.0) == "4.00x"
    assert known()["bytes"].text(1234567) == "1,234,567 bytes"
    assert known()["parameters"].text(10) == "10"


def test_a_saved_evaluation_is_loaded_as_it_was(tmp_path: Path) -> None:
    """Nothing is lost in the file."""
    EVALUATION.save(tmp_path / "evaluation.json")
    assert Evaluation.load(tmp_path / "evaluation.json") == EVALUATION


@pytest.mark.parametrize("metrics", [{"acuracy": 1.0}, {"accuracy": float("nan")}])
def test_unknown_and_undefined_metrics_are_refused(metrics: dict[str, float]) -> None:
    """A metric that the table does not have, or that is no number, can't be recorded."""
    with pytest.raises(ValidationError):
        Evaluation(metrics=metrics, model_digest="", base_digest="", files={})


@pytest.mark.parametrize("content", ["", "{", '{"metrics": {}}', '{"metrics": {"accuracy": "high"}}'])
def test_a_damaged_file_is_refused(content: str, tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"evaluation\.json is damaged"):
        Evaluation.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the place where no evaluation is."""
    with pytest.raises(ArtifactError, match="no evaluation at"):
        Evaluation.load(tmp_path / "evaluation.json")
