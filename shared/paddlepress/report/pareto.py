"""The Pareto front: the points that no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence


def dominates(first: Sequence[float], second: Sequence[float], maximize: Sequence[bool]) -> bool:
    """Whether `first` is at least as good as `second` in every objective and better in one."""
    better = False
    for a, b, high in zip(first, second, maximize, strict=True):
        if a == b:
            continue
        if (a > b) != high:
            return False
        better = True
    return better


def pareto_front(points: Sequence[Sequence[float]], maximize: Sequence[bool]) -> list[int]:
    """The indices of the points that no other point dominates, ascending.

    Equal points don't dominate one another: either all of them are on the front or none is.

    Args:
        points: one sequence of objective values for each point.
        maximize: for each objective, whether more is better.

    Raises:
        ValueError: a point has another number of values than there are objectives, or a value is NaN.
    """
    for index, point in enumerate(points):
        if len(point) != len(maximize):
            raise ValueError(f"point {index} has {len(point)} values for {len(maximize)} objectives")
        if any(math.isnan(value) for value in point):
            raise ValueError(f"point {index} is {tuple(point)}: NaN can't be compared")
    return [
        index for index, point in enumerate(points) if not any(dominates(other, point, maximize) for other in points)
    ]
