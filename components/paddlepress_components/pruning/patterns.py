"""Which weights to prune, given scores: freely, two of every four, or in blocks.

Everywhere a score is a float that says how much a weight is needed, and minus infinity that it is zero
already: such a weight goes first and never comes back. Masks are true where a weight stays.

A weight is looked at as a matrix [outputs, inputs]: a row has all that an output is computed from, kernel
position by kernel position with the input channels of each together, as sparse matrix units read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Masks = dict[str, NDArray[np.bool_]]
Scope = Literal["global", "layer"]
Pattern = Literal["unstructured", "2:4", "block"]

GONE = -np.inf


@dataclass(frozen=True)
class Choice:
    """What to prune in the end, and on the way there.

    Attributes:
        pattern: which weights go together.
        scope: whether scores are compared across all arrays or within each.
        axes: for each array, the axis of its outputs.
        block: rows and columns of a block.
        first, last: share of zeros at the beginning and in the end.
    """

    pattern: Pattern
    scope: Scope
    axes: Mapping[str, int]
    block: tuple[int, int]
    first: float
    last: float

    def keep(self, scores: Arrays, share: float = 1.0) -> Masks:
        """Masks of what stays when a share of the way from the first sparsity to the last is done."""
        if self.pattern == "2:4":
            return two_of_four(scores, self.axes, share, self.scope)
        target = self.last if share >= 1 else self.first + (self.last - self.first) * share
        if self.pattern == "block":
            return blocks(scores, self.axes, target, self.block, self.scope)
        return free(scores, target, self.scope)


def free(scores: Arrays, sparsity: float, scope: Scope) -> Masks:
    """All weights stay but the `sparsity` lowest: exactly `round(sparsity * count)`, or all that are gone if more.

    Args:
        scores: arrays of any shapes.
        sparsity: share to prune, 0 to 1.
        scope: `global` ranks the weights of all arrays together, `layer` those of each array.
    """
    return _apart(scores, scope, lambda flat: ~_lowest(flat, round(sparsity * flat.size)) & (flat > GONE))


def two_of_four(scores: Arrays, axes: Mapping[str, int], share: float, scope: Scope) -> Masks:
    """Of each four weights in a row at most two stay, those with the higher scores.

    The 2:4 pattern of Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021. A row whose length is no
    multiple of four is taken as if zeros followed.

    Args:
        scores: arrays [out, in, *kernel] or [in, out, *kernel].
        axes: of each array's outputs.
        share: of the weights that have to go, how many do; the lowest first.
        scope: where the lowest are looked for, see `free`.
    """
    doomed = {name: _lower_two(array, axes[name]) for name, array in scores.items()}
    # What stays in the end has to outlive all that goes.
    waiting = {name: np.where(doomed[name], array, np.inf) for name, array in scores.items()}
    going = _apart(waiting, scope, lambda flat: _lowest(flat, round(share * np.count_nonzero(flat < np.inf))))
    return {name: ~going[name] & (array > GONE) for name, array in scores.items()}


def _lower_two(scores: Array, axis: int) -> NDArray[np.bool_]:
    """Where the two lower of each four in a row are; what is gone already counts among them."""
    matrix = rows(scores, axis)
    padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % 4)), constant_values=GONE)
    fours = padded.reshape(len(padded), -1, 4)
    lower = np.zeros(fours.shape, bool)
    np.put_along_axis(lower, np.argsort(fours, axis=-1, kind="stable")[..., :2], True, axis=-1)
    return from_rows(lower.reshape(padded.shape)[:, : matrix.shape[1]], scores.shape, axis)


def blocks(scores: Arrays, axes: Mapping[str, int], sparsity: float, block: tuple[int, int], scope: Scope) -> Masks:
    """Whole blocks of the matrices go, those with the lowest mean score.

    Gray, Radford and Kingma, "GPU Kernels for Block-Sparse Weights", 2017. As many go as come nearest to the
    sparsity asked for, in weights; blocks at the right and lower edges may be smaller. A weight that is gone
    counts as 0 in its block's mean.

    Args:
        scores: arrays [out, in, *kernel] or [in, out, *kernel].
        axes: of each array's outputs.
        sparsity: share to prune, 0 to 1.
        block: rows and columns.
        scope: where the lowest are looked for, see `free`.
    """
    means, sizes = {}, {}
    for name, array in scores.items():
        matrix = rows(array, axes[name])
        live = _block_sums((matrix > GONE).astype(np.float64), block)
        sizes[name] = _block_sums(np.ones(matrix.shape), block)
        sums = _block_sums(np.where(matrix > GONE, matrix, 0.0), block)
        means[name] = np.where(live > 0, sums / sizes[name], GONE)
    if scope == "global":
        lengths = np.cumsum([mean.size for mean in means.values()])[:-1]
        all_means = np.concatenate([mean.reshape(-1) for mean in means.values()])
        all_sizes = np.concatenate([size.reshape(-1) for size in sizes.values()])
        kept = dict(zip(means, np.split(_blocks_that_stay(all_means, all_sizes, sparsity), lengths), strict=True))
    else:
        kept = {name: _blocks_that_stay(means[name].reshape(-1), sizes[name].reshape(-1), sparsity) for name in means}
    masks = {}
    for name, array in scores.items():
        matrix = rows(array, axes[name])
        wide = np.repeat(np.repeat(kept[name].reshape(means[name].shape), block[0], axis=0), block[1], axis=1)
        stays = wide[: matrix.shape[0], : matrix.shape[1]] & (matrix > GONE)
        masks[name] = from_rows(stays, array.shape, axes[name])
    return masks


def zero_blocks(weights: Arrays, axes: Mapping[str, int], block: tuple[int, int]) -> float:
    """The share of weights that are in blocks of zeros only."""
    zeros = 0
    for name, weight in weights.items():
        matrix = rows(weight, axes[name]) != 0
        sizes = _block_sums(np.ones(matrix.shape), block)
        zeros += int(sizes[_block_sums(matrix.astype(np.float64), block) == 0].sum())
    return zeros / sum(weight.size for weight in weights.values())


def _block_sums(matrix: Array, block: tuple[int, int]) -> Array:
    down = np.add.reduceat(matrix, np.arange(0, matrix.shape[0], block[0]), axis=0)
    return np.asarray(np.add.reduceat(down, np.arange(0, matrix.shape[1], block[1]), axis=1))


def _blocks_that_stay(means: Array, sizes: Array, sparsity: float) -> NDArray[np.bool_]:
    order = np.argsort(means, kind="stable")
    lost = np.concatenate([[0.0], np.cumsum(sizes[order])])
    count = int(np.argmin(np.abs(lost - sparsity * lost[-1])))
    stays = means > GONE
    stays[order[:count]] = False
    return stays


def rows(weight: Array, axis: int) -> Array:
    """A weight [out, in, *kernel], or [in, out, *kernel] with axis 1, as a matrix [out, kernel * in]."""
    return np.moveaxis(np.moveaxis(weight, axis, 0), 1, -1).reshape(weight.shape[axis], -1)


def from_rows(matrix: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Undo `rows` for a weight of a given shape."""
    outputs, inputs = shape[axis], shape[1 - axis]
    spread = matrix.reshape(outputs, *shape[2:], inputs)
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(spread, -1, 1), 0, axis))


def _apart(arrays: Arrays, scope: Scope, chosen: Callable[[Array], NDArray[np.bool_]]) -> Masks:
    """Apply a choice over a flat array to each array, or to all of them one after another."""
    if scope == "layer":
        return {name: chosen(array.reshape(-1)).reshape(array.shape) for name, array in arrays.items()}
    together = chosen(np.concatenate([array.reshape(-1) for array in arrays.values()]))
    parts = np.split(together, np.cumsum([array.size for array in arrays.values()])[:-1])
    return {name: part.reshape(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}


def _lowest(values: Array, count: int) -> NDArray[np.bool_]:
    """Where the `count` lowest values are."""
    found = np.zeros(values.size, bool)
    if count > 0:
        found[np.argpartition(values, count - 1)[:count]] = True
    return found
