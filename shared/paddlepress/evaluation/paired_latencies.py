"""Latencies that agree with the paired speed-ups.

Each variant is timed in a process of its own, in turns with the base model. On a shared machine the medians of two
such processes differ by more than the models do; their ratios do not. So a variant's latency is the base model's,
divided by the paired speed-up. Importable without NumPy or Paddle.
"""

from __future__ import annotations

from collections.abc import Mapping

_BATCHES = ("b1", "b32")


def paired(metrics: Mapping[str, float], base: Mapping[str, float] | None) -> dict[str, float]:
    """A variant's metrics with latencies that follow from the base model's and the paired speed-ups.

    Args:
        metrics: the variant's, by the names of `evaluation.metrics.known`.
        base: the base model's; None leaves the metrics as they are, and so does a figure that is missing.
    """
    found = dict(metrics)
    for batch in _BATCHES:
        before, speed = (base or {}).get(f"latency_{batch}_ms"), metrics.get(f"speedup_{batch}")
        if before is not None and speed is not None and speed > 0:
            found[f"latency_{batch}_ms"] = before / speed
    return found
