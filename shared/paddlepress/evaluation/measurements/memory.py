"""How much memory a deployable takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


class PeakMemory(Measurement):
    """Memory at its peak, in a process of its own."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "peak_memory_mib": Metric(
            "MiB", False, "memory that loading the deployable and one prediction take at the most", 1, "Peak memory"
        )
    }
    position: ClassVar[int] = 60

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Load the deployable in a fresh process and predict once."""
        from paddlepress.evaluation import memory

        return {"peak_memory_mib": memory.peak_memory_mib(subject.deployable)}
