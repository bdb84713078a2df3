"""Which indices of which parameters stand and fall together: a union-find over all of them.

Every index of every parameter axis that the propagation meets gets a number, its *label*. A tensor's
labels are an int64 array of the tensor's rank whose sizes are 1 or the tensor's own: along the axes
where it is not 1, mostly one, it says which label each element belongs to. -1 stands for an index that
no surgery may remove, so a tensor of which nothing is known has the single label -1.

Where a reshape parts an axis into several, [heads, features] say, labels lie on a *grid*: what is left
of it must be a grid again, so either whole rows go or whole columns. Which of them is open until
everything else is tied: attention ties each head's features, a channel shuffle ties nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Axis = tuple[str, int]

SINGLE = "comes down to a single unit"
FIXED_TENSOR = "is combined with a tensor that can't be narrowed"


def plain(rank: int) -> Labels:
    """The labels of a tensor that surgery can't narrow."""
    return np.full((1,) * rank, -1, np.int64)


@dataclass(frozen=True)
class Resolved:
    """Labels after everything is tied.

    Attributes:
        roots: for each label the smallest label that it stands and falls with.
        reasons: root -> why its unit can't be removed.
        doubtful: roots whose removal has to be tried out first.
        mixed: roots whose removal changes the statistics that a normalization takes over several units.
        heads: roots that matrix products of activations keep apart, as attention does its heads.
    """

    roots: Labels
    reasons: dict[int, str]
    doubtful: frozenset[int]
    mixed: frozenset[int]
    heads: frozenset[int]


class Units:
    """Labels for parameter axes, and what is known of how they hang together."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], sealed: dict[str, str]) -> None:
        self.shapes = shapes
        self.axes: dict[Axis, Labels] = {}
        self._size = 0
        self._sealed = dict(sealed)
        self._ties: list[tuple[Labels, Labels]] = []
        self._blocks: list[tuple[Labels, str]] = []
        self._grids: list[Labels] = []
        self._doubts: list[Labels] = []
        self._mixed: list[Labels] = []
        self._heads: list[Labels] = []

    def axis(self, parameter: str, axis: int) -> Labels:
        """The labels of a parameter's axis; an axis of size 1 has nothing to remove."""
        size = self.shapes[parameter][axis]
        if size == 1:
            return plain(1)
        if (parameter, axis) not in self.axes:
            labels = np.arange(self._size, self._size + size)
            self._size += size
            self.axes[parameter, axis] = labels
            if parameter in self._sealed:
                self.block(labels, self._sealed[parameter])
        return self.axes[parameter, axis]

    def seal(self, parameter: str, reason: str) -> None:
        """Allow no axis of a parameter to be narrowed."""
        self._sealed.setdefault(parameter, reason)
        for (name, _), labels in self.axes.items():
            if name == parameter:
                self.block(labels, reason)

    def tie(self, first: Labels, second: Labels, reason: str) -> None:
        """Indices that stand and fall together, pairwise; those tied to a fixed index become fixed.

        Args:
            first, second: labels of broadcastable shapes.
            reason: why those are fixed that meet an index without a label.
        """
        a, b = (side.reshape(-1) for side in np.broadcast_arrays(first, second))
        both = (a >= 0) & (b >= 0)
        self._ties.append((a[both], b[both]))
        self.block(np.where(both, -1, np.maximum(a, b)), reason)

    def block(self, labels: Labels, reason: str) -> None:
        """Units that may not be removed; the first reason given counts."""
        found = np.unique(labels[labels >= 0])
        if found.size:
            self._blocks.append((found, reason))

    def grid(self, labels: Labels) -> None:
        """Labels that an axis was parted into: what stays of them must be a grid again."""
        self._grids.append(labels)

    def doubt(self, labels: Labels) -> None:
        """Units whose removal the traced program alone does not prove right."""
        self._doubts.append(_known(labels))

    def mix(self, labels: Labels) -> None:
        """Units over which a normalization takes its statistics."""
        self._mixed.append(_known(labels))

    def head(self, labels: Labels) -> None:
        """Units that a matrix product of activations keeps apart, as attention does its heads."""
        self._heads.append(_known(labels))

    def resolve(self) -> Resolved:
        """Tie everything together."""
        roots = self._settled()
        reasons: dict[int, str] = {}
        for labels, reason in self._blocks:
            for root in np.unique(roots[labels]):
                reasons.setdefault(int(root), reason)
        doubtful, mixed, heads = (
            frozenset(int(root) for labels in found for root in np.unique(roots[labels]))
            for found in (self._doubts, self._mixed, self._heads)
        )
        return Resolved(roots, reasons, doubtful, mixed, heads)

    def _settled(self) -> Labels:
        """The roots, once every grid can only lose whole rows or whole columns."""
        none = np.zeros(0, np.int64)
        left = np.concatenate([none, *(a for a, _ in self._ties)])
        right = np.concatenate([none, *(b for _, b in self._ties)])
        pending = self._grids
        while True:
            roots = _roots(self._size, left, right)
            open_ = [(grid, axes) for grid in pending if len(axes := varying(_of(roots, grid))) > 1]
            if not open_:
                return roots
            # Groups are few, their members many: a network stays the same under losing members.
            grid, axes = open_[0]
            kept = max(axes, key=lambda axis: grid.shape[axis])
            others = [axis for axis in axes if axis != kept]
            first = np.broadcast_to(_first(grid, others), grid.shape).reshape(-1)
            both = (first >= 0) & (grid.reshape(-1) >= 0)
            left = np.concatenate([left, first[both]])
            right = np.concatenate([right, grid.reshape(-1)[both]])
            self.block(np.where(both, -1, np.maximum(first, grid.reshape(-1))), FIXED_TENSOR)
            pending = [found for found, _ in open_]


def varying(labels: Labels) -> list[int]:
    """The axes along which labels differ."""
    return [
        axis
        for axis, size in enumerate(labels.shape)
        if size > 1 and not np.array_equal(np.broadcast_to(_first(labels, [axis]), labels.shape), labels)
    ]


def _first(labels: Labels, axes: list[int]) -> Labels:
    return labels[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(labels.ndim))]


def _of(roots: Labels, labels: Labels) -> Labels:
    return np.where(labels < 0, -1, roots[np.maximum(labels, 0)])


def _known(labels: Labels) -> Labels:
    return np.unique(labels[labels >= 0])


def _roots(size: int, left: Labels, right: Labels) -> Labels:
    """The smallest member of each connected component, by repeated hooking and pointer jumping."""
    parent = np.arange(size)
    while True:
        a, b = parent[left], parent[right]
        low, high = np.minimum(a, b), np.maximum(a, b)
        if np.array_equal(low, high):
            return parent
        np.minimum.at(parent, high, low)
        while not np.array_equal(parent[parent], parent):
            parent = parent[parent]
