"""Which indices of which parameters stand and fall together: a union-find over all of them.

Every index of every parameter axis that the propagation meets gets a number, its *label*. A tensor's
labels are an int64 array of the tensor's rank whose sizes are 1 or the tensor's own: along the one
axis where it is not 1 it says which label each channel belongs to. -1 stands for an index that no
surgery may remove, so a tensor of which nothing is known has the single label -1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Axis = tuple[str, int]

SINGLE = "comes down to a single unit"


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
    """

    roots: Labels
    reasons: dict[int, str]
    doubtful: frozenset[int]


class Units:
    """Labels for parameter axes, and what is known of how they hang together."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], sealed: dict[str, str]) -> None:
        self.shapes = shapes
        self.axes: dict[Axis, Labels] = {}
        self._size = 0
        self._sealed = dict(sealed)
        self._ties: list[tuple[Labels, Labels]] = []
        self._blocks: list[tuple[Labels, str]] = []
        self._doubts: list[Labels] = []

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

    def doubt(self, labels: Labels) -> None:
        """Units whose removal the traced program alone does not prove right."""
        found = np.unique(labels[labels >= 0])
        if found.size:
            self._doubts.append(found)

    def resolve(self) -> Resolved:
        """Tie everything together."""
        none = np.zeros(0, np.int64)
        left = np.concatenate([none, *(a for a, _ in self._ties)])
        right = np.concatenate([none, *(b for _, b in self._ties)])
        roots = _roots(self._size, left, right)
        reasons: dict[int, str] = {}
        for labels, reason in self._blocks:
            for root in np.unique(roots[labels]):
                reasons.setdefault(int(root), reason)
        doubtful = {int(root) for labels in self._doubts for root in np.unique(roots[labels])}
        return Resolved(roots, reasons, frozenset(doubtful))


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
