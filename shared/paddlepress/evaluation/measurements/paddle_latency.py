"""How long predictions take on Paddle Inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.evaluation.measurements.latency import BATCHES, sample
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


class PaddleLatency(Measurement):
    """Latency on Paddle Inference, where all weights are floats, in turns with the base model's."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "paddle_speedup_b1": Metric(
            "x",
            True,
            "speed-up with one input on Paddle Inference, where all weights are floats",
            label="Paddle Inference speed-up, batch 1",
        ),
        "paddle_speedup_b32": Metric(
            "x",
            True,
            "speed-up with a batch of 32 on Paddle Inference",
            label="Paddle Inference speed-up, batch 32",
        ),
    }
    position: ClassVar[int] = 50

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Time both, one input and a batch."""
        from paddlepress.evaluation import latency

        return {
            f"paddle_speedup_b{batch}": latency.on_paddle(
                reference.model, subject.model, sample(subject, split, batch), budget_s
            ).speedup
            for batch in BATCHES
        }
