"""The preprocessing that brings training inputs to mean 0 and standard deviation 1, channel by channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.data.raw import Examples
from paddlepress.spec.preprocessing import NamedPreprocessing, Preprocessing


def measured(train: Examples) -> Preprocessing | NamedPreprocessing:
    """The preprocessing that training inputs [n, channels, ...] suggest: uint8 (divided by 255) or float32.

    A channel that never varies gets a standard deviation of 1. Several inputs have each their own.
    """
    found = {name: _measured(train, name) for name in train.arrays}
    return NamedPreprocessing(found) if len(found) > 1 else next(iter(found.values()))


def _measured(train: Examples, name: str) -> Preprocessing:
    pixels = train.arrays[name].dtype == np.uint8
    moments = _byte_moments(train, name) if pixels else _float_moments(train.values(name))
    return Preprocessing(
        dtype="uint8" if pixels else "float32",
        scale=255.0 if pixels else 1.0,
        mean=tuple(mean for mean, _ in moments),
        # Rounding can leave a constant channel a deviation of its last bit.
        std=tuple(std if std > 1e-7 * max(1.0, abs(mean)) else 1.0 for mean, std in moments),
    )


def _byte_moments(train: Examples, name: str) -> list[tuple[float, float]]:
    """Mean and standard deviation of bytes / 255, exact, so that every machine finds the same digest."""
    histograms = np.zeros((train.arrays[name].shape[1], 256), np.int64)
    for chunk in train.chunks(name):
        for channel, histogram in enumerate(histograms):
            histogram += np.bincount(chunk[:, channel].reshape(-1), minlength=256)
    return [_moments_of_counts([int(count) for count in histogram]) for histogram in histograms]


def _moments_of_counts(counts: list[int]) -> tuple[float, float]:
    number = sum(counts)
    total = sum(count * value for value, count in enumerate(counts))
    squares = sum(count * value * value for value, count in enumerate(counts))
    return total / (255 * number), math.sqrt(number * squares - total * total) / (255 * number)


def _float_moments(inputs: NDArray[Any]) -> list[tuple[float, float]]:
    """Mean and standard deviation, rounded to what does not depend on the order of summation."""
    channels = (inputs[:, channel] for channel in range(inputs.shape[1]))
    return [
        (float(np.float32(channel.mean(dtype=np.float64))), float(np.float32(channel.std(dtype=np.float64))))
        for channel in channels
    ]
