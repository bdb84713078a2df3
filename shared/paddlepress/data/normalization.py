"""Bring inputs to mean 0 and standard deviation 1, channel by channel, as the training data has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Normalization:
    """`(stored / scale - mean) / std`, with a mean and a standard deviation a channel or feature."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize stored inputs [n, channels, ...]; float32 of the same shape."""
        shape = (1, -1) + (1,) * (stored.ndim - 2)
        inputs = stored.astype(np.float32)
        inputs /= np.float32(self.scale)
        inputs -= np.asarray(self.mean, np.float32).reshape(shape)
        inputs /= np.asarray(self.std, np.float32).reshape(shape)
        return inputs


def measured(stored: NDArray[Any]) -> Normalization:
    """The normalization of training inputs [n, channels, ...]: uint8 (divided by 255) or float32.

    A channel that never varies gets a standard deviation of 1.
    """
    scale = 255.0 if stored.dtype == np.uint8 else 1.0
    mean, std = [], []
    for channel in range(stored.shape[1]):
        if stored.dtype == np.uint8:  # exact, and without a copy as floats
            counts = np.bincount(stored[:, channel].reshape(-1), minlength=256)
            share, values = counts / counts.sum(), np.arange(256) / scale
            average = float(share @ values)
            deviation = float(np.sqrt(share @ (values - average) ** 2))
        else:
            average = float(stored[:, channel].mean(dtype=np.float64))
            deviation = float(stored[:, channel].std(dtype=np.float64))
        mean.append(average)
        # Rounding can leave a constant channel a deviation of its last bit.
        std.append(deviation if deviation > 1e-7 * max(1.0, abs(average)) else 1.0)
    return Normalization(scale, tuple(mean), tuple(std))
