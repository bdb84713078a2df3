from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.report.pareto import dominates, pareto_front

# Few distinct values, so that ties and equal points come up often.
VALUES = st.one_of(st.integers(0, 5).map(float), st.floats(-1e6, 1e6))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[tuple[float, ...]], list[bool]]:
    maximize = draw(st.lists(st.booleans(), min_size=1, max_size=3))
    point = st.tuples(*[VALUES] * len(maximize))
    return draw(st.lists(point, max_size=12)), maximize


@given(problems())
def test_front_is_what_nothing_dominates(problem: tuple[list[tuple[float, ...]], list[bool]]) -> None:
    """No point of the front is dominated by any point, and every other point is dominated by one of the front."""
    points, maximize = problem
    front = pareto_front(points, maximize)
    assert front == sorted(set(front))
    for index, point in enumerate(points):
        beaten_by_any = any(dominates(other, point, maximize) for other in points)
        beaten_by_front = any(dominates(points[other], point, maximize) for other in front)
        assert beaten_by_any == beaten_by_front == (index not in front)


def test_small_and_accurate_variants_are_on_the_front() -> None:
    """Of (bytes, accuracy) the small and the accurate ones stay, and one that is worse in both goes."""
    assert pareto_front([(1700, 99.1), (200, 99.0), (400, 98.9), (70, 98.4)], (False, True)) == [0, 1, 3]


def test_equal_points_stay_together() -> None:
    """Two equal points don't push each other off the front."""
    assert pareto_front([(1, 2), (1, 2), (2, 1)], (False, True)) == [0, 1]


def test_nonsense_is_refused() -> None:
    """A point of the wrong length or with NaN is an error that names the point."""
    with pytest.raises(ValueError, match="point 1 has 1 values for 2 objectives"):
        pareto_front([(1, 2), (1,)], (False, True))
    with pytest.raises(ValueError, match="NaN can't be compared"):
        pareto_front([(float("nan"), 2)], (False, True))
