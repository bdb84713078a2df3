"""The preprocessing that brings training inputs to mean 0 and standard deviation 1, channel by channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.spec.preprocessing import Preprocessing


def measured(stored: NDArray[Any]) -> Preprocessing:
    """The preprocessing that training inputs [n, channels, ...] suggest: uint8 (divided by 255) or float32.

    A channel that never varies gets a standard deviation of 1.
    """
    moments = _byte_moments if stored.dtype == np.uint8 else _float_moments
    measured_moments = [moments(stored[:, channel]) for channel in range(stored.shape[1])]
    return Preprocessing(
        dtype="uint8" if stored.dtype == np.uint8 else "float32",
        scale=255.0 if stored.dtype == np.uint8 else 1.0,
        mean=tuple(mean for mean, _ in measured_moments),
        # Rounding can leave a constant channel a deviation of its last bit.
        std=tuple(std if std > 1e-7 * max(1.0, abs(mean)) else 1.0 for mean, std in measured_moments),
    )


def _byte_moments(channel: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of bytes / 255, exact, so that every machine finds the same digest."""
    counts = [int(count) for count in np.bincount(channel.reshape(-1), minlength=256)]
    number = sum(counts)
    total = sum(count * value for value, count in enumerate(counts))
    squares = sum(count * value * value for value, count in enumerate(counts))
    return total / (255 * number), math.sqrt(number * squares - total * total) / (255 * number)


def _float_moments(channel: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation, rounded to what does not depend on the order of summation."""
    return float(np.float32(channel.mean(dtype=np.float64))), float(np.float32(channel.std(dtype=np.float64)))
