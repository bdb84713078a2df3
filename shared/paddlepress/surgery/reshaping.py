"""What a reshape does to a tensor's labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from paddlepress.surgery.linked_indices import Labels, plain, varying

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reshaped:
    """Labels after a reshape.

    Attributes:
        labels: of the result. Where they lie along several axes, they form a grid, see `units`.
        axes: the result's axes that hold labels.
        split: whether a labelled axis was split into several.
    """

    labels: Labels
    axes: tuple[int, ...] = ()
    split: bool = False


def reshape(labels: Labels, before: Shape, after: Shape) -> Reshaped | None:
    """Carry labels through a reshape; None where they can't be.

    Args:
        labels: of the tensor, see `units`.
        before, after: its shapes.
    """
    if labels.size == 1:
        return Reshaped(plain(len(after)))
    parts = _parts(before, after)
    if parts is None:
        return None
    spread, sizes = [1] * len(before), [1] * len(after)
    split = False
    for axes_before, axes_after in parts:
        if any(labels.shape[axis] > 1 for axis in axes_before):
            for axis in axes_before:
                spread[axis] = before[axis]
            for axis in axes_after:
                sizes[axis] = after[axis]
            split |= sum(after[axis] > 1 for axis in axes_after) > 1
    found = np.broadcast_to(labels, spread).reshape(sizes)
    held = varying(found)
    return Reshaped(found[tuple(slice(None if axis in held else 1) for axis in range(found.ndim))], tuple(held), split)


def _parts(before: Shape, after: Shape) -> list[tuple[tuple[int, ...], tuple[int, ...]]] | None:
    """Match runs of axes that hold the same number of elements, as short as possible."""
    if prod(before) != prod(after) or min((*before, *after), default=1) < 1:
        return None
    parts = []
    i = j = 0
    while i < len(before) and j < len(after):
        start_i, start_j = i, j
        a, b = before[i], after[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * before[i], i + 1
            else:
                b, j = b * after[j], j + 1
        parts.append((tuple(range(start_i, i)), tuple(range(start_j, j))))
    return parts
