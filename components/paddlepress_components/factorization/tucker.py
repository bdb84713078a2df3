"""Tucker-2 decomposition of convolution kernels: along their output and their input channels.

Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications", ICLR
2016: a convolution becomes 1x1, kxk between fewer channels, 1x1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDS = 20
_STILL = 1e-5  # relative growth of the core's norm below which the rounds end


def unfold(kernel: NDArray[Any], mode: int) -> Floats:
    """A kernel as a matrix with one row for each index of an axis."""
    return np.moveaxis(np.asarray(kernel, np.float64), mode, 0).reshape(kernel.shape[mode], -1)


def tucker2(kernel: NDArray[Any], rank_out: int, rank_in: int) -> tuple[Floats, Floats, Floats]:
    """The factors of a kernel, improved in turn from the truncated singular vectors of its unfoldings (HOOI).

    De Lathauwer, De Moor and Vandewalle, "On the Best Rank-1 and Rank-(R1,...,RN) Approximation of Higher-Order
    Tensors", 2000.

    Args:
        kernel: [out, in, height, width].
        rank_out, rank_in: channels of the core.

    Returns:
        `left` [out, rank_out] and `right` [in, rank_in], both with orthonormal columns, and the core
        [rank_out, rank_in, height, width]; the kernel is about `core` times both.
    """
    weight = np.asarray(kernel, np.float64)
    right = _leading(unfold(weight, 1), rank_in)
    before = -1.0
    for _ in range(_ROUNDS):
        left = _leading(unfold(np.tensordot(weight, right, (1, 0)), 0), rank_out)
        narrowed = np.tensordot(left, weight, (0, 0))
        right = _leading(unfold(narrowed, 1), rank_in)
        core = np.moveaxis(np.tensordot(narrowed, right, (1, 0)), 3, 1)
        norm = float(np.square(core).sum())
        if norm - before <= _STILL * norm:
            break
        before = norm
    return left, right, core


def _leading(matrix: Floats, rank: int) -> Floats:
    """The left singular vectors of the largest singular values, [rows, rank]; any further directions at zeros."""
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    return np.ascontiguousarray(vectors[:, ::-1][:, :rank])
