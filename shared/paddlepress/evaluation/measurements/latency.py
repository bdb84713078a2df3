"""How long predictions take where they are deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit
    from paddlepress.spec.tensors import Inputs

BATCHES = {1: "one input", 32: "batch of 32"}


def sample(subject: Subject, split: StoredSplit, batch: int) -> Inputs:
    """A batch of inputs as the network takes them, float32 [batch, *shape]; from the first again where they are few."""
    import numpy as np

    found: Inputs = subject.model.prepare(split.inputs[np.arange(batch) % len(split)])
    return found


def _metrics() -> dict[str, Metric]:
    paired = "one thread, ONNX Runtime, without preprocessing, paired with the base's"
    found: dict[str, Metric] = {}
    for batch, inputs in BATCHES.items():
        timed = "one input" if batch == 1 else f"a {inputs}"
        found[f"latency_b{batch}_ms"] = Metric("ms", False, f"time for {timed}, {paired}", 3, f"Latency, batch {batch}")
    for batch, inputs in BATCHES.items():
        about = f"time of the base model over time of this one, {inputs}, ONNX Runtime"
        found[f"speedup_b{batch}"] = Metric("x", True, about, label=f"Speed-up, batch {batch}")
        for end, side in (("low", "lower"), ("high", "upper")):
            about = f"{side} quartile of the paired speed-ups with {'one input' if batch == 1 else f'a {inputs}'}"
            label = f"Speed-up, batch {batch}, {side} quartile"
            found[f"speedup_b{batch}_{end}"] = Metric("x", True, about, label=label)
    return found


class OnnxRuntimeLatency(Measurement):
    """Latency of the deployable, in turns with the base model's."""

    metrics: ClassVar[Mapping[str, Metric]] = _metrics()
    position: ClassVar[int] = 40
    required: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Time both, one input and a batch."""
        from paddlepress.evaluation import latency

        found: dict[str, float] = {}
        for batch in BATCHES:
            inputs = sample(subject, split, batch)
            times = latency.on_onnxruntime(reference.deployable, subject.deployable, inputs, budget_s)
            found[f"latency_b{batch}_ms"] = times.variant_ms
            found[f"speedup_b{batch}"] = times.speedup
            found[f"speedup_b{batch}_low"], found[f"speedup_b{batch}_high"] = times.low, times.high
        return found
