"""Where to write the points' names so that no two overlap.

Each label tries places around its point, near ones first. Places that would cover another label, any
point, or leave the chart are out; covering lines costs. A few rounds let early labels make room for
later ones. The result depends on the input alone. (The candidate positions and the local search follow
Christensen, Marks and Shieber, "An empirical study of algorithms for point-feature label placement",
ACM Transactions on Graphics, 1995.)
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SLANT = math.sqrt(0.5)
_DIRECTIONS = (
    *((1.0, 0.0), (-1.0, 0.0)),
    *((_SLANT, -_SLANT), (_SLANT, _SLANT), (-_SLANT, -_SLANT), (-_SLANT, _SLANT)),
    *((0.0, -1.0), (0.0, 1.0)),
    *((0.38, -0.92), (0.38, 0.92), (-0.38, -0.92), (-0.38, 0.92)),
)
"""Unit vectors from a point to its label, in order of preference."""
_DISTANCES = (4.0, 9.0, 15.0, 22.0, 30.0, 40.0, 52.0, 66.0)
_ROUNDS = 4
_NEAR = 12.0
_AMBIGUOUS = 60.0
"""The cost of a label that is nearer to another point than to its own."""

_NARROW = set("iljtfrI.,:;'|!()[]- ")
_WIDE = set("mwMW@%&")


class Box(NamedTuple):
    """A rectangle; y points down."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box, gap: float = 0.0) -> float:
        """The area shared with another box, when either keeps `gap` to itself."""
        width = min(self.right, other.right) - max(self.left, other.left) + gap
        height = min(self.bottom, other.bottom) - max(self.top, other.top) + gap
        return max(width, 0.0) * max(height, 0.0)

    def inside(self, other: Box) -> bool:
        """Whether this box lies wholly in another."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Anchor:
    """A point to be named: where it is, how big it is drawn, and its label's size."""

    x: float
    y: float
    radius: float
    width: float
    height: float

    @property
    def box(self) -> Box:
        """What the point itself covers."""
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True)
class Placed:
    """Where a label goes, and whether it is far enough from its point to need a line to it."""

    box: Box
    leader: bool


def text_width(text: str, size: float) -> float:
    """An upper estimate of a text's width in a sans-serif font of a size; the real font is the reader's."""
    units = 0.0
    for character in text:
        if unicodedata.combining(character):
            continue
        if unicodedata.east_asian_width(character) in ("W", "F"):
            units += 1.05
        elif character in _NARROW:
            units += 0.4
        elif character in _WIDE or character.isupper():
            units += 0.86 if character in _WIDE else 0.72
        else:
            units += 0.6
    return units * size


def place(
    anchors: Sequence[Anchor],
    bounds: Box,
    obstacles: Sequence[Box] = (),
    priority: Sequence[int] = (),
) -> list[Placed | None]:
    """Find a place for every anchor's label.

    Args:
        anchors: the points with their labels' sizes.
        bounds: no label leaves it.
        obstacles: lines that are better not covered.
        priority: a number for each anchor, lower goes first; all alike by default.

    Returns:
        For each anchor its label's place, or None where every place would cover something.
    """
    candidates = [_candidates(anchor, index, anchors, bounds, obstacles) for index, anchor in enumerate(anchors)]
    rank = list(priority) or [0] * len(anchors)
    order = sorted(range(len(anchors)), key=lambda index: (rank[index], len(candidates[index]), index))
    chosen: list[tuple[float, Placed] | None] = [None] * len(anchors)
    for _ in range(_ROUNDS):
        before = list(chosen)
        for index in order:
            others = [one[1].box for position, one in enumerate(chosen) if one is not None and position != index]
            chosen[index] = next((one for one in candidates[index] if not _touches(one[1].box, others, 3.0)), None)
        if chosen == before:
            break
    return [None if one is None else one[1] for one in chosen]


def _candidates(
    anchor: Anchor, own: int, anchors: Sequence[Anchor], bounds: Box, obstacles: Sequence[Box]
) -> list[tuple[float, Placed]]:
    """The places that cover no point and stay inside, each with its cost, cheapest first."""
    found = []
    others = [other for index, other in enumerate(anchors) if index != own]
    covered_by_points = [other.box for other in others]
    for distance in _DISTANCES:
        for preference, (dx, dy) in enumerate(_DIRECTIONS):
            box = _box_at(anchor, dx, dy, distance)
            if not box.inside(bounds):
                continue
            if _touches(box, covered_by_points, 2.0):
                continue
            covered = sum(box.overlap(obstacle, 1.0) for obstacle in obstacles)
            cost = distance * distance * 0.12 + preference * 0.6 + covered * 0.22
            own_gap = _gap(box, anchor)
            if any(_gap(box, other) < own_gap + 2.0 for other in others):
                cost += _AMBIGUOUS
            found.append((cost, Placed(box, distance > _NEAR)))
    return sorted(found, key=lambda one: one[0])


def _touches(box: Box, others: Sequence[Box], gap: float) -> bool:
    """Whether a box comes within `gap` of another on both axes."""
    left, top, right, bottom = box.left - gap, box.top - gap, box.right + gap, box.bottom + gap
    return any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in others)


def _gap(box: Box, anchor: Anchor) -> float:
    """How far a label is from a point's rim."""
    x, y = min(max(anchor.x, box.left), box.right), min(max(anchor.y, box.top), box.bottom)
    return math.hypot(anchor.x - x, anchor.y - y) - anchor.radius


def _box_at(anchor: Anchor, dx: float, dy: float, distance: float) -> Box:
    reach = anchor.radius + distance
    x, y = anchor.x + dx * reach, anchor.y + dy * reach
    left = x if dx > 0 else x - anchor.width if dx < 0 else x - anchor.width / 2
    top = y if dy > 0 else y - anchor.height if dy < 0 else y - anchor.height / 2
    return Box(left, top, left + anchor.width, top + anchor.height)
