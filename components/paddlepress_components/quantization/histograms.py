"""Which part of a distribution an 8-bit grid should cover, read from a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paddlepress.network.grids import input_grid

Calibrator = Literal["min-max", "percentile", "entropy", "mse"]

HALF = 2048
"""Bins between 0 and the largest magnitude."""

_STRIDE = 4  # bins between the thresholds that `entropy_range` tries
_SHARES = np.linspace(1.0, 0.01, 100).tolist()  # of the whole range, that `mse_range` tries


@dataclass(frozen=True)
class Histogram:
    """How often which values occur, in bins of one width with an edge at 0.

    Attributes:
        low, high: the least and the largest value.
        counts: of the bins, from the one that holds `low` (or 0, where that is less) upwards.
        negative: how many of the bins lie below 0.
        width: of a bin.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    negative: int
    width: float

    @classmethod
    def empty(cls, low: float, high: float) -> Histogram:
        """A histogram, without any values yet, for values from `low` to `high`."""
        width = max(abs(low), abs(high), float(np.finfo(np.float32).tiny)) / HALF
        negative, positive = (int(np.ceil(max(0.0, end) / width)) for end in (-low, high))
        return cls(low, high, np.zeros(negative + max(1, positive), np.int64), negative, width)

    def add(self, values: NDArray[Any]) -> None:
        """Count values."""
        places = np.floor(values.reshape(-1).astype(np.float64) / self.width).astype(np.int64) + self.negative
        self.counts[:] += np.bincount(np.clip(places, 0, len(self.counts) - 1), minlength=len(self.counts))

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 array [bins + 1]."""
        return np.asarray((np.arange(len(self.counts) + 1) - self.negative) * self.width, np.float64)

    def magnitudes(self) -> NDArray[np.int64]:
        """Counts of the values' magnitudes, from 0 upwards."""
        below, above = self.counts[: self.negative][::-1], self.counts[self.negative :]
        folded = np.zeros(max(len(below), len(above)), np.int64)
        folded[: len(below)] += below
        folded[: len(above)] += above
        return folded

    def within(self, low: float, high: float) -> tuple[float, float]:
        """A range without what lies beyond the extremes."""
        return max(low, self.low), min(high, self.high)


def find_range(histogram: Histogram, calibrator: Calibrator, percentile: float = 100.0) -> tuple[float, float]:
    """The range that a calibrator chooses.

    Args:
        histogram: of the values.
        calibrator: `min-max`, or which of the functions below.
        percentile: for the calibrator of that name.
    """
    if calibrator == "percentile" and percentile < 100:
        edges = histogram.edges
        return histogram.within(*percentile_range(histogram.counts, float(edges[0]), float(edges[-1]), percentile))
    if calibrator == "entropy":
        return entropy_range(histogram)
    if calibrator == "mse":
        return mse_range(histogram)
    return histogram.low, histogram.high


def percentile_range(counts: NDArray[np.int64], low: float, high: float, percentile: float) -> tuple[float, float]:
    """The part of a histogram that is left when `100 - percentile` percent are cut off at either end.

    Args:
        counts: of equal bins from `low` to `high`.
        percentile: above 50, at most 100.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    below = np.cumsum(counts)
    cut = (1 - percentile / 100) * below[-1]
    first = int(np.searchsorted(below, cut, side="right"))
    last = int(np.searchsorted(below, below[-1] - cut, side="left"))
    return float(edges[min(first, last)]), float(edges[last + 1])


def entropy_range(histogram: Histogram) -> tuple[float, float]:
    """The range in which 8-bit codes lose the least information, as TensorRT chooses it.

    The Kullback-Leibler divergence between the distribution of the magnitudes, with all beyond a threshold put
    into the last bin below it, and the same after rounding to 256 levels where no value is negative, and to 128
    where some are; see Migacz, "8-bit Inference with TensorRT", GPU Technology Conference 2017. It is meant for
    what layers compute: of inputs that take few different values, such as pixels, it may cut too much off.

    Returns:
        `(low, high)`, no wider than the values' extremes.
    """
    counts = histogram.magnitudes()
    # The bin of 0 holds what a rectifier or padding left: a spike that any grid holds exactly.
    counts[0] = counts[min(1, len(counts) - 1)]
    levels = 256 if histogram.negative == 0 else 128
    ends = np.unique([*range(min(levels, len(counts)), len(counts), _STRIDE), len(counts)])
    divergences = [_divergence(counts, int(end), levels) for end in ends]
    threshold = float(ends[int(np.argmin(divergences))]) * histogram.width
    return histogram.within(-threshold if histogram.negative else 0.0, threshold)


def _divergence(counts: NDArray[np.int64], end: int, levels: int) -> float:
    """KL divergence of the first `end` bins, rounded to levels, from the distribution clipped to them."""
    inside = counts[:end].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[end:].sum()
    levels = min(levels, end)
    starts = np.ceil(np.linspace(0, end, levels + 1)[:-1]).astype(np.int64)
    # A level's mass spreads evenly over those of its bins that hold anything.
    occurs = (inside > 0).astype(np.float64)
    sums, occupied = np.add.reduceat(inside, starts), np.add.reduceat(occurs, starts)
    mean = np.divide(sums, occupied, out=np.zeros_like(sums), where=occupied > 0)
    rounded = np.repeat(mean, np.diff([*starts, end])) * occurs
    if not rounded.any():
        return float("inf")
    first, second = clipped / clipped.sum(), rounded / rounded.sum()
    there = first > 0
    return float(np.sum(first[there] * np.log(first[there] / np.maximum(second[there], 1e-12))))


def mse_range(histogram: Histogram) -> tuple[float, float]:
    """The range whose unsigned 8-bit grid has the least mean squared error of rounding and clipping.

    Shares of the whole range are tried, then shares of either end alone; a search of this kind is evaluated in
    Nagel et al., "A White Paper on Neural Network Quantization", 2021, section 3.1.

    Returns:
        `(low, high)`, no wider than the values' extremes.
    """
    low, high = histogram.low, histogram.high
    tried = [(low * share, high * share) for share in _SHARES]
    best = min(tried, key=lambda ends: squared_error(histogram, *ends))
    tried = [best, *((low * share, best[1]) for share in _SHARES)]
    best = min(tried, key=lambda ends: squared_error(histogram, *ends))
    tried = [best, *((best[0], high * share) for share in _SHARES)]
    return min(tried, key=lambda ends: squared_error(histogram, *ends))


def squared_error(histogram: Histogram, low: float, high: float) -> float:
    """Mean squared error of a histogram's values on the unsigned 8-bit grid of a range.

    Each value is taken to be at the middle of its bin.
    """
    scale, zero_point = input_grid(low, high)
    edges = histogram.edges
    middles = (edges[:-1] + edges[1:]) / 2
    codes = np.clip(np.rint(middles / scale) + zero_point, 0, 255)
    errors = np.square((codes - zero_point) * scale - middles)
    return float(np.average(errors, weights=histogram.counts)) if histogram.counts.any() else 0.0
