"""How often models say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


class Agreement(Measurement):
    """How far the deployable says what the base model's says, and what its own network says in Paddle."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "agreement": Metric(
            "%", True, "share of test examples that the base model classifies alike", label="Agreement with base"
        ),
        "runtime_agreement": Metric(
            "%",
            True,
            "share of test examples that Paddle and ONNX Runtime classify alike",
            label="Agreement of runtimes",
        ),
    }
    position: ClassVar[int] = 70
    required: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Compare outputs on the whole split."""
        task = subject.model.task
        return {
            "agreement": task.agreement(subject.outputs, reference.outputs),
            "runtime_agreement": task.agreement(subject.outputs, subject.network_outputs),
        }
