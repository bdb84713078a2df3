"""How much a network computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


class MultiplyAccumulates(Measurement):
    """Multiply-accumulate operations for one input."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "macs": Metric("", False, "multiply-accumulate operations for one input", 0, "MACs"),
        "macs_ratio": Metric(
            "x", True, "the base model's multiply-accumulate operations, divided by this model's", label="MACs ratio"
        ),
    }
    position: ClassVar[int] = 30

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Count those of both networks."""
        from paddlepress.surgery import macs

        mine, theirs = (sum(macs.macs(each.model).values()) for each in (subject, reference))
        return {"macs": mine, "macs_ratio": theirs / mine} if mine else {"macs": mine}
