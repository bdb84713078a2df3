"""What a reshape does to a tensor's labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from paddlepress.surgery.units import Labels, plain

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reshaped:
    """Labels after a reshape.

    Attributes:
        labels: of the result.
        ties: rows of labels that have to stand and fall together for the reshape to stay one: channels
            split into [groups, members] can only be removed at the same place of every group.
        axes: the result's axes that hold labels.
        split: whether a labelled axis was split into several.
    """

    labels: Labels
    ties: tuple[tuple[Labels, Labels], ...] = ()
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
    varying = [(a, b) for a, b in parts if any(labels.shape[axis] > 1 for axis in a)]
    if len(varying) != 1:
        return None
    axes_before, axes_after = varying[0]
    inner = labels.reshape([labels.shape[axis] for axis in axes_before])
    spread = np.broadcast_to(inner, [before[axis] for axis in axes_before])
    sizes = tuple(after[axis] for axis in axes_after)
    found, ties = _collapse(spread.reshape(sizes))
    shape = [1] * len(after)
    for axis, size in zip(axes_after, found.shape, strict=True):
        shape[axis] = size
    held = tuple(axis for axis, size in zip(axes_after, found.shape, strict=True) if size > 1)
    return Reshaped(found.reshape(shape), ties, held, split=sum(size > 1 for size in sizes) > 1)


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


def _collapse(labels: Labels) -> tuple[Labels, tuple[tuple[Labels, Labels], ...]]:
    """Reduce labels to the one axis along which they vary, tying what varies along the others."""
    ties: list[tuple[Labels, Labels]] = []
    for axis in range(labels.ndim):
        first = labels.take([0], axis=axis)
        if np.array_equal(np.broadcast_to(first, labels.shape), labels):
            labels = first
    # Groups and heads are few, their members many: a network stays the same under losing members.
    kept = max(range(labels.ndim), key=lambda axis: labels.shape[axis], default=0)
    for axis in range(labels.ndim):
        if axis != kept and labels.shape[axis] > 1:
            first = labels.take([0], axis=axis)
            ties.append((np.broadcast_to(first, labels.shape), labels))
            labels = first
    return labels, tuple(ties)
