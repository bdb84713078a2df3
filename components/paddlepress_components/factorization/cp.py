"""CP decomposition of convolution kernels: a sum of products of four vectors.

Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015: a
convolution becomes 1x1, depthwise kx1, depthwise 1xk, 1x1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Factors = tuple[Floats, Floats, Floats, Floats]

_ROUNDS = 200
_STILL = 1e-4  # change of the share explained below which the rounds end, once the ridge is small
_RIDGE = (0.1, 1e-5)  # from the first round to nine tenths of them, as a share of the Gram matrix's mean diagonal


def cp(kernel: NDArray[Any], rank: int, seed: int = 0, rounds: int = _ROUNDS) -> Factors:
    """The factors of a kernel by alternating least squares.

    Without more, CP is ill-posed: components of growing norm cancel each other out (de Silva and Lim, "Tensor
    Rank and the Ill-Posedness of the Best Low-Rank Approximation Problem", 2008), which no training afterwards
    recovers from (Phan et al., "Stable Low-rank Tensor Decomposition for Compression of Convolutional Neural
    Network", ECCV 2020). So each least squares has a ridge, large at first and small in the end, which leads
    to components that are both closer to the kernel and smaller. The norm of each component is spread evenly over its
    four vectors, so that they train alike.

    Args:
        kernel: [out, in, height, width].
        rank: how many components.
        seed: of the directions that unfoldings do not give.
        rounds: the most passes over the four modes.

    Returns:
        float64 [out, rank], [in, rank], [height, rank], [width, rank]:
        `kernel[o, i, y, x]` is about `sum_r out[o, r] in[i, r] height[y, r] width[x, r]`.
    """
    weight = np.asarray(kernel, np.float64)
    total = float(np.linalg.norm(weight))
    if total == 0:
        out, inner, height, width = (np.zeros((size, rank)) for size in weight.shape)
        return out, inner, height, width
    weight = weight / total
    unfolded = weight.reshape(len(weight), -1).astype(
        np.float32
    )  # half the time, and exact enough for a float32 kernel
    out = np.zeros((len(weight), rank))
    inner, height, width = (_start(weight, mode, rank, seed) for mode in (1, 2, 3))
    ridge, before = _RIDGE[0], np.inf
    fall = (_RIDGE[1] / _RIDGE[0]) ** (1 / (0.9 * rounds))
    for _ in range(rounds):
        # Each product with the whole kernel serves as many factors as it can: two of them make a round.
        products = np.einsum("ir,yr,xr->iyxr", inner, height, width).reshape(-1, rank)
        out = _unit(_solve(unfolded @ products.astype(np.float32), (inner, height, width), ridge))
        seen = (unfolded.T @ out.astype(np.float32)).reshape(*weight.shape[1:], rank)
        inner = _unit(_solve(np.einsum("iyxr,yr,xr->ir", seen, height, width), (out, height, width), ridge))
        plane = np.einsum("iyxr,ir->yxr", seen, inner)
        height = _unit(_solve(np.einsum("yxr,xr->yr", plane, width), (out, inner, width), ridge))
        row = np.einsum("yxr,yr->xr", plane, height)
        width = _solve(row, (out, inner, height), ridge)
        error = 1 - 2 * float(np.sum(row * width)) + float(np.sum(_gram((out, inner, height, width))))
        norms = np.linalg.norm(width, axis=0)
        width = _unit(width)
        if ridge == _RIDGE[1] and before - error <= _STILL:
            break
        ridge, before = max(ridge * fall, _RIDGE[1]), error
    scale = (total * norms) ** 0.25
    return out * scale, inner * scale, height * scale, width * scale


def compose(factors: Sequence[NDArray[Any]]) -> Floats:
    """The kernel that factors stand for."""
    out, inner, height, width = factors
    found: Floats = out @ np.einsum("ir,yr,xr->riyx", inner, height, width).reshape(out.shape[1], -1)
    return found.reshape(len(out), len(inner), len(height), len(width))


def _solve(product: NDArray[Any], others: Sequence[Floats], ridge: float) -> Floats:
    """The factor that fits best while the three others stay."""
    gram = _gram(others)
    gram[np.diag_indices_from(gram)] += ridge * gram.trace() / len(gram)
    return np.asarray(np.linalg.solve(gram, product.T).T, np.float64)


def _gram(factors: Sequence[Floats]) -> Floats:
    """The inner products of the components."""
    found = factors[0].T @ factors[0]
    for factor in factors[1:]:
        found = found * (factor.T @ factor)
    return found


def _unit(factor: Floats) -> Floats:
    norms: Floats = np.maximum(np.linalg.norm(factor, axis=0), 1e-12)
    return factor / norms


def _start(weight: Floats, mode: int, rank: int, seed: int) -> Floats:
    """The leading singular vectors of an unfolding, and random unit vectors where there are no more."""
    matrix = np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    found = vectors[:, ::-1][:, :rank]
    missing = rank - found.shape[1]
    extra = np.random.default_rng((seed, mode)).standard_normal((len(matrix), missing))
    return np.concatenate([found, _unit(extra)], axis=1)
