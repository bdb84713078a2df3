"""Truncated singular value decomposition of dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.surgery.edits import find, replace
from paddlepress.surgery.layers import LowRankLinear


def rank_of(weight: NDArray[Any], *, ratio: float | None = None, energy: float | None = None) -> int:
    """The rank that makes a weight `ratio` times smaller, or keeps `energy` of it.

    Args:
        weight: [rows, columns].
        ratio: parameters before / parameters after; the largest rank that reaches it, 0 if none does.
        energy: share of the sum of squared singular values; the smallest rank that reaches it.
    """
    rows, columns = weight.shape
    if ratio is not None:
        return int(rows * columns / (ratio * (rows + columns)))
    assert energy is not None
    squared = np.linalg.svd(weight.astype(np.float64), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(squared), energy * squared.sum()) + 1)


def truncate(weight: NDArray[Any], rank: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The two factors whose product is the closest to a weight (Eckart and Young, 1936).

    Each takes the square root of the singular values, so that both have the same norm and train alike.

    Returns:
        float32 arrays [rows, rank] and [rank, columns].
    """
    left, singular, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    root = np.sqrt(singular[:rank])
    return (left[:, :rank] * root).astype(np.float32), (root[:, None] * right[:rank]).astype(np.float32)


def factorize(network: paddle.nn.Layer, name: str, rank: int) -> None:
    """Put a `LowRankLinear` with the truncated weight in the place of a dense layer."""
    layer = find(network, name)
    first, second = truncate(layer.weight.numpy(), rank)
    factors = LowRankLinear.in_place_of(layer, rank)
    factors.first.weight.set_value(first)
    factors.second.weight.set_value(second)
    if layer.bias is not None:
        factors.second.bias.set_value(layer.bias)
    factors.train() if network.training else factors.eval()
    replace(network, name, factors)
