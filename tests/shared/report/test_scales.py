from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.report.scales import Scale, linear_ticks, log_ticks, padded

POSITIVE = st.floats(1e-3, 1e12)


@given(st.lists(POSITIVE, min_size=1, max_size=10), st.booleans())
def test_values_lie_inside_in_order(values: list[float], logarithmic: bool) -> None:
    """Every value lands inside the axis and larger values land further along."""
    scale = padded(values, 50, 500, logarithmic)
    places = [scale(value) for value in sorted(values)]
    assert all(50 <= place <= 500 for place in places)
    assert places == sorted(places)


@given(POSITIVE, st.floats(1.3, 1e6), st.integers(3, 9))
def test_log_ticks_are_few_and_inside(low: float, factor: float, count: int) -> None:
    """A logarithmic axis gets at least one and at most `count` ascending ticks, all on it."""
    ticks = log_ticks(low, low * factor, count)
    assert 1 <= len(ticks) <= count
    assert all(low <= tick <= low * factor for tick in ticks)
    assert all(a < b for a, b in pairwise(ticks))


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(3, 9))
def test_linear_ticks_are_few_and_inside(low: float, span: float, count: int) -> None:
    """A linear axis gets at most `count` + 1 evenly spaced ticks, all on it."""
    ticks = linear_ticks(low, low + span, count)
    assert 1 <= len(ticks) <= count + 1
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_ticks_are_round() -> None:
    """Accuracies get even tenths, bytes get 1, 2 and 5."""
    assert linear_ticks(98.13, 99.42, 7) == pytest.approx([98.2, 98.4, 98.6, 98.8, 99.0, 99.2, 99.4])
    assert log_ticks(60_000, 2_100_000, 6) == pytest.approx([1e5, 2e5, 5e5, 1e6, 2e6])


def test_out_of_range_is_drawn_at_the_edge() -> None:
    """A value beyond the axis is drawn at its end, not outside the chart."""
    assert Scale(98, 99, 300, 20)(60) == 300
