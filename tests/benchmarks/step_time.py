"""The time of a training step, taken alike whatever library trains."""

from __future__ import annotations

import time
from collections.abc import Callable

# Batch size and image that each network learns from.
INPUTS = {"lenet": (64, 1, 28, 28), "resnet18": (64, 3, 32, 32), "mobilenet_v2": (32, 3, 64, 64)}


def report(step: Callable[[], None], steps: int) -> None:
    """Print the wall and the processor time of a step in seconds, after two that are not counted."""
    step()
    step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    print((time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps)
