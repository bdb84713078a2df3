"""k-means in one dimension: the codebook of few values that lies closest to many.

Lloyd's algorithm (Lloyd, "Least squares quantization in PCM", 1982) on sorted values. A cluster of them is
an interval, so its mean comes from sums over all values before its two ends, and a round costs
O(k log n), whatever the number n of values. Memory is a few arrays of n.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Initialization = Literal["linear", "density", "random"]

_ROUNDS = 1000


def codebook(values: NDArray[Any], size: int, initialization: Initialization, seed: int) -> NDArray[np.float32]:
    """The centroids of k-means over the values of an array.

    The sum of squared distances to the nearest centroid is at a local least; which one depends on where the
    centroids start (Han, Mao and Dally, "Deep Compression", ICLR 2016, section 3.2). Values of which there
    are no more than centroids are their own codebook.

    Args:
        values: finite floats, at least one.
        size: at most how many centroids, at least 1.
        initialization: where they start: `linear`, spread evenly from the least value to the largest; `density`,
            spread evenly over the values in order; `random`, on different values drawn at random (Forgy).
        seed: what `random` follows.

    Returns:
        float32 array of different values, ascending.
    """
    distinct, counts = np.unique(values.reshape(-1), return_counts=True)
    if distinct.size <= size:
        return distinct.astype(np.float32)
    points = distinct.astype(np.float64)
    centroids = _lloyd(points, counts, _initial(points, counts, size, initialization, seed))
    return np.unique(centroids.astype(np.float32))


def _initial(
    points: NDArray[np.float64], counts: NDArray[np.int64], size: int, initialization: Initialization, seed: int
) -> NDArray[np.float64]:
    if initialization == "linear":
        return np.linspace(points[0], points[-1], size)
    if initialization == "density":
        ranks = (np.arange(size) + 0.5) / size * counts.sum()
        return np.unique(points[np.searchsorted(np.cumsum(counts), ranks)])
    return np.sort(np.random.default_rng(seed).choice(points, size, replace=False))


def _lloyd(
    points: NDArray[np.float64], counts: NDArray[np.int64], centroids: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move centroids to the means of what is nearest to them, until they stay where they are.

    A centroid that nothing is nearest to moves to the far end of the cluster with the largest squared error:
    far outliers would otherwise leave most of a linear start without any weights.

    Args:
        points: different values, ascending, more than there are centroids.
        counts: how often each occurs.
        centroids: ascending.
    """
    # Relative to the middle, so that differences of sums lose no digits to a common offset.
    middle = (points[0] + points[-1]) / 2
    points = points - middle
    centroids = centroids - middle
    before = np.zeros((3, points.size + 1))
    np.cumsum([counts, counts * points, counts * points**2], axis=1, out=before[:, 1:])
    for _ in range(_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(points, (centroids[:-1] + centroids[1:]) / 2), [points.size]])
        weights, sums, squares = np.diff(before[:, ends], axis=1)
        means = sums / np.maximum(weights, 1)
        moved = np.where(weights > 0, means, centroids)
        if np.any(weights == 0):
            moved = _refill(points, ends, moved, weights, squares - sums * means)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    found: NDArray[np.float64] = centroids + middle
    return found


def _refill(
    points: NDArray[np.float64],
    ends: NDArray[np.int64],
    centroids: NDArray[np.float64],
    weights: NDArray[np.float64],
    errors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Move each centroid without weights to the far end of one of the clusters with the largest errors."""
    distinct = np.diff(ends)
    empty = np.flatnonzero(weights == 0)
    worst = np.argsort(np.where(distinct > 1, errors, -np.inf), kind="stable")[::-1][: empty.size]
    worst = worst[distinct[worst] > 1]
    low, high = points[ends[worst]], points[ends[worst + 1] - 1]
    refilled = centroids.copy()
    refilled[empty[: worst.size]] = np.where(centroids[worst] - low > high - centroids[worst], low, high)
    return np.sort(refilled)


def nearest(values: NDArray[Any], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each value the centroid nearest to it.

    Args:
        values: float array of any shape.
        centroids: ascending.
    """
    between = (centroids[:-1].astype(np.float64) + centroids[1:]) / 2
    return centroids[np.searchsorted(between, values)]


def share(
    weight: NDArray[np.float32], bits: int, initialization: Initialization, seed: int, keep_zeros: bool
) -> NDArray[np.float32]:
    """A weight with each of its values replaced by the nearest one of a codebook made for it.

    Args:
        weight: float32 array, finite.
        bits: of a place in the codebook: it has at most `2**bits` values.
        initialization, seed: see `codebook`.
        keep_zeros: leave zeros what they are; zero is one of the values then, and no other weight gets it.
    """
    free = weight != 0 if keep_zeros else np.ones(weight.shape, bool)
    if not free.any():
        return weight.copy()
    kept = bool(keep_zeros and not free.all())
    shared = np.zeros_like(weight)
    centroids = codebook(weight[free], 2**bits - kept, initialization, seed)
    shared[free] = nearest(weight[free], _without_zero(centroids) if kept else centroids)
    return shared


def _without_zero(centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centroids with one that is exactly zero moved a little: it is not the zero of pruned weights."""
    smallest = np.abs(centroids[centroids != 0]).min(initial=np.float32(1.0))
    return np.where(centroids == 0, smallest * np.float32(1e-6), centroids).astype(np.float32)
