"""Convolution kernels as factors: what each method makes of a kernel, and what its ranks cost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paddlepress.surgery.kernel_times import Work
from paddlepress_components.factorization import cp, svd, tucker
from paddlepress_components.factorization.evbmf import evbmf_rank
from paddlepress_components.factorization.ranks import Plan, Ranks, even

Weights = dict[str, NDArray[np.float32]]

_TRIAL_ROUNDS = 60  # of CP, where only the rank is looked for


class Places(NamedTuple):
    """Over how many pixels a convolution runs, or rows a dense layer.

    Attributes:
        inputs, between, outputs: pixels of its input, of what lies between a vertical and a horizontal
            convolution of its stride, and of its output.
    """

    inputs: int
    between: int
    outputs: int


def factors(kernel: NDArray[Any], method: str, ranks: Ranks, seed: int = 0) -> Weights:
    """The weights of the chain that stands for a kernel, by the names of its layers in `LowRankConv2D`.

    Channel SVD: Zhang, Zou, He and Sun, TPAMI 2016, without its data term. Spatial: Jaderberg, Vedaldi and
    Zisserman, BMVC 2014, scheme 2, whose optimum is a truncated SVD (Tai et al., "Convolutional Neural Networks
    with Low-rank Regularization", ICLR 2016, theorem 1). `tucker2` and `cp`: see there.

    Args:
        kernel: [out, in, height, width].
        method: `channel-svd`, `spatial`, `tucker2` or `cp`.
        ranks: as `LowRankConv2D` takes them.
        seed: of what `cp` starts from.
    """
    out, inner, height, width = kernel.shape
    if method == "channel-svd":
        first, last = svd.truncate(_by_output(kernel), ranks[0])
        found = {"first": first.T.reshape(-1, inner, height, width), "last": last.T.reshape(out, -1, 1, 1)}
    elif method == "spatial":
        first, last = svd.truncate(_by_rows(kernel), ranks[0])
        across = last.reshape(-1, out, 1, width).transpose(1, 0, 2, 3)
        found = {"vertical": first.T.reshape(-1, inner, height, 1), "horizontal": across}
    elif method == "tucker2":
        left, right, core = tucker.tucker2(kernel, ranks[1], ranks[0])
        found = {"first": right.T[:, :, None, None], "core": core, "last": left[:, :, None, None]}
    else:
        a, b, c, d = cp.cp(kernel, ranks[0], seed)
        found = {
            "first": b.T[:, :, None, None],
            "vertical": c.T[:, None, :, None],
            "horizontal": d.T[:, None, None, :],
            "last": a[:, :, None, None],
        }
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def plan(kernel: NDArray[Any], method: str, places: Places) -> Plan:
    """The ranks that a method may give a kernel, and what they cost."""
    out, inner, height, width = kernel.shape

    def chain(ranks: Ranks) -> list[Work]:
        r = ranks[0]
        if method == "channel-svd":
            return [Work(inner, r, (height, width), places.outputs), Work(r, out, (1, 1), places.outputs)]
        if method == "spatial":
            return [Work(inner, r, (height, 1), places.between), Work(r, out, (1, width), places.outputs)]
        first, last = Work(inner, r, (1, 1), places.inputs), Work(ranks[-1], out, (1, 1), places.outputs)
        if method == "tucker2":
            return [first, Work(r, ranks[1], (height, width), places.outputs), last]
        vertical = Work(r, r, (height, 1), places.between, groups=r)
        return [first, vertical, Work(r, r, (1, width), places.outputs, groups=r), last]

    matrices = _matrices(kernel, method)
    if matrices:
        spectra = tuple(svd.spectrum(matrix) for matrix in matrices)
    else:
        most = max(1, (kernel.size - 1) // sum(work.parameters for work in chain((1,))))
        spectra = (even(most),)
    full = Work(inner, out, (height, width), places.outputs)
    return Plan(spectra, chain, full, lambda: tuple(evbmf_rank(m) for m in matrices))


def cp_rank(kernel: NDArray[Any], energy: float, seed: int = 0) -> int:
    """The smallest rank found by halving whose CP decomposition keeps a share of a kernel's energy.

    CP has no singular values to read it from, so decompositions are tried, each in fewer rounds than the final one.

    Returns:
        0 where no rank does at which factors are fewer numbers than the kernel.
    """
    total = float(np.square(kernel, dtype=np.float64).sum())

    def keeps(rank: int) -> bool:
        found = cp.compose(cp.cp(kernel, rank, seed, _TRIAL_ROUNDS))
        return float(np.square(kernel - found).sum()) <= (1 - energy) * total

    low, high = 0, (kernel.size - 1) // sum(kernel.shape)
    if high < 1 or not keeps(high):
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high


def _matrices(kernel: NDArray[Any], method: str) -> list[NDArray[Any]]:
    """For each rank of a method the matrix that it is the rank of; none for `cp`."""
    if method == "channel-svd":
        return [_by_output(kernel)]
    if method == "spatial":
        return [_by_rows(kernel)]
    return [tucker.unfold(kernel, 1), tucker.unfold(kernel, 0)] if method == "tucker2" else []


def _by_output(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.reshape(kernel.shape[0], -1).T


def _by_rows(kernel: NDArray[Any]) -> NDArray[Any]:
    """[in * height, out * width]"""
    out, inner, height, width = kernel.shape
    return kernel.transpose(1, 2, 0, 3).reshape(inner * height, out * width)
