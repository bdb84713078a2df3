"""What a variant must fulfil to be promoted, and what makes one better than another. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from paddlepress.core.errors import UnknownName
from paddlepress.core.fields import Fields
from paddlepress.evaluation.metrics import known

Metrics = Mapping[str, float]
Reference = Literal["", "base", "champion"]
_LONGEST = 1e15  # from there on a number is told by its exponent


def _known_metric(name: str) -> str:
    if name not in known():
        raise ValueError(str(UnknownName("metric", name, known())))
    return name


class Gate(Fields):
    """A limit on one metric of a variant.

    Attributes:
        metric: what is judged, such as `accuracy` or `ratio`.
        at_least: the lowest value that passes. Exactly one of the two limits is set.
        at_most: the highest value that passes.
        against: empty: the metric itself is judged; `base` or `champion`: the variant's metric minus theirs.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    against: Reference = ""

    _metric_exists = field_validator("metric")(_known_metric)

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a gate needs exactly one of 'at_least' and 'at_most'")
        return self

    @property
    def limit(self) -> float:
        """The limit, whichever of the two it is."""
        chosen = self.at_least if self.at_least is not None else self.at_most
        assert chosen is not None
        return chosen

    def admits(self, value: float) -> bool:
        """Whether a value is within the limit, up to rounding."""
        slack = 1e-9 * max(1.0, abs(self.limit))
        return value >= self.limit - slack if self.at_least is not None else value <= self.limit + slack

    def __str__(self) -> str:
        subject = f"{self.metric} minus the {self.against}'s" if self.against else self.metric
        side = "at least" if self.at_least is not None else "at most"
        return f"{subject} {side} {number(self.limit)}"


class Objective(Fields):
    """What the champion is best at: `{maximize: METRIC}` or `{minimize: METRIC}`.

    Attributes:
        maximize: the metric of which more is better. Exactly one of the two is set.
        minimize: the metric of which less is better.
    """

    maximize: str | None = None
    minimize: str | None = None

    @field_validator("maximize", "minimize")
    @classmethod
    def _metric_exists(cls, name: str | None) -> str | None:
        return None if name is None else _known_metric(name)

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if (self.maximize is None) == (self.minimize is None):
            raise ValueError("an objective needs exactly one of 'maximize' and 'minimize'")
        return self

    @property
    def metric(self) -> str:
        """The metric that decides."""
        chosen = self.maximize or self.minimize
        assert chosen is not None
        return chosen

    def score(self, metrics: Metrics) -> float | None:
        """The metric turned so that more is better; None if it was not measured."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return None
        return value if self.maximize else -value

    def __str__(self) -> str:
        return f"{'highest' if self.maximize else 'lowest'} {self.metric}"


class GateResult(BaseModel):
    """What a gate said of a variant.

    Attributes:
        gate: the gate.
        value: what was judged; None where there was nothing to judge.
        limit: the gate's limit.
        passed: the verdict.
        text: the verdict in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: Gate
    value: float | None
    limit: float
    passed: bool
    text: str


def check(
    gates: Sequence[Gate],
    metrics: Metrics,
    base: Metrics | None,
    champion: Metrics | None,
    missing: Mapping[str, str] | None = None,
) -> list[GateResult]:
    """Judge a variant by every gate.

    Args:
        gates: the gates.
        metrics: the variant's, by name.
        base: the uncompressed model's; None if it was not evaluated.
        champion: the champion's; None if there is none, and gates against it then pass.
        missing: why a metric was not measured, by name.
    """
    references = {"base": base, "champion": champion}
    return [_check(gate, metrics, references, missing or {}) for gate in gates]


def _check(
    gate: Gate, metrics: Metrics, references: Mapping[str, Metrics | None], missing: Mapping[str, str]
) -> GateResult:
    def result(passed: bool, text: str, value: float | None = None) -> GateResult:
        return GateResult(gate=gate, value=value, limit=gate.limit, passed=passed, text=text)

    value = _measured(metrics, gate.metric)
    if value is None:
        why = f" ({missing[gate.metric]})" if gate.metric in missing else ""
        return result(False, f"{gate.metric} was not measured{why}, and the gate asks for {gate}")
    if not gate.against:
        return result(gate.admits(value), _verdict(gate, gate.metric, value), value)
    reference = references[gate.against]
    if reference is None and gate.against == "champion":
        return result(True, f"there is no champion to compare {gate.metric} with")
    other = _measured(reference or {}, gate.metric)
    if other is None:
        return result(False, f"{gate.metric} of the {gate.against} was not measured, and the gate asks for {gate}")
    difference = value - other
    subject = f"{gate.metric} {number(value)} against the {gate.against}'s {number(other)}: a difference of"
    return result(gate.admits(difference), _verdict(gate, subject, difference), difference)


def _measured(metrics: Metrics, name: str) -> float | None:
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else None


def _verdict(gate: Gate, subject: str, value: float) -> str:
    if gate.admits(value):
        said, limit = number(value), number(gate.limit)
        end = f"is at {'least' if gate.at_least is not None else 'most'} {limit}"
    else:
        said, limit = apart(value, gate.limit)
        end = f"is {'below' if gate.at_least is not None else 'above'} its limit of {limit}"
    return f"{subject} {said}{unit(gate.metric, difference=bool(gate.against))} {end}"


def unit(metric: str, difference: bool = False) -> str:
    """The unit of a metric as it follows a number, such as ` points` or `%`; empty for a bare number."""
    text = known()[metric].unit if metric in known() else ""
    if text == "%":
        return " points" if difference else text
    if text == "x":
        return text
    return f" {text}" if text not in ("", metric) else ""


def number(value: float) -> str:
    """A number to read: four figures, or whole with thousands marked."""
    return _rounded(value, 4)


def apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers to read, with as many figures as it takes to see which is larger."""
    if one == other:
        return number(one), number(other)
    told = ((_rounded(one, figures), _rounded(other, figures)) for figures in (4, 6, 9, 12))
    return next((pair for pair in told if pair[0] != pair[1]), (repr(one), repr(other)))


def _rounded(value: float, figures: int) -> str:
    whole = 10 ** (figures + 1) <= abs(value) < _LONGEST or (1e3 <= abs(value) < _LONGEST and value.is_integer())
    return f"{value:,.0f}" if whole else f"{value:.{figures}g}"
