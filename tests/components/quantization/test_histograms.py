"""The calibrators, on histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress.network.grids import input_grid
from paddlepress_components.quantization.histograms import (
    Calibrator,
    Histogram,
    entropy_range,
    find_range,
    mse_range,
    percentile_range,
    squared_error,
)

CALIBRATORS: tuple[Calibrator, ...] = ("min-max", "percentile", "entropy", "mse")
values = hn.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32))


def histogram_of(found: np.ndarray) -> Histogram:
    histogram = Histogram.empty(float(found.min()), float(found.max()))
    histogram.add(found)
    return histogram


@settings(max_examples=60, deadline=None)
@given(values, st.sampled_from(CALIBRATORS))
def test_a_range_lies_within_the_extremes(found: np.ndarray, calibrator: Calibrator) -> None:
    """No calibrator covers more than the values have, nor turns a range around."""
    low, high = find_range(histogram_of(found), calibrator, 99.0)
    assert min(0.0, float(found.min())) <= low <= high <= max(0.0, float(found.max()))


@given(values)
def test_every_value_is_counted_in_its_bin(found: np.ndarray) -> None:
    """Bins have an edge at 0, and hold what lies between their edges, to rounding."""
    histogram = histogram_of(found)
    assert histogram.counts.sum() == len(found)
    assert histogram.edges[histogram.negative] == 0
    assert histogram.counts[: histogram.negative].sum() == np.count_nonzero(found < 0)
    assert histogram.magnitudes().sum() == len(found)


@settings(max_examples=30, deadline=None)
@given(values)
def test_the_least_error_is_never_worse_than_the_extremes(found: np.ndarray) -> None:
    """On the histogram it searches, `mse` rounds no worse than `min-max`."""
    histogram = histogram_of(found)
    whole = squared_error(histogram, histogram.low, histogram.high)
    assert squared_error(histogram, *mse_range(histogram)) <= whole


def with_an_outlier(rectified: bool) -> np.ndarray:
    found = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    return np.append(np.abs(found) if rectified else found, np.float32(60))


@pytest.mark.parametrize("rectified", [True, False])
def test_entropy_cuts_a_lone_outlier_off(rectified: bool) -> None:
    """Of a normal distribution and one value far beyond it, the range covers the distribution."""
    found = with_an_outlier(rectified)
    low, high = entropy_range(histogram_of(found))
    assert 2 < high < 30
    assert rectified or -30 < low < -2
    assert np.mean((found >= low) & (found <= high)) > 0.97


@pytest.mark.parametrize("rectified", [True, False])
def test_the_least_error_weighs_an_outlier_against_all_others(rectified: bool) -> None:
    """Clipping one value pays as far as it makes the step smaller for the others: real values show it too."""
    found = with_an_outlier(rectified)
    histogram = histogram_of(found)
    low, high = mse_range(histogram)
    assert 30 < high < 60

    def error(low: float, high: float) -> float:
        scale, zero_point = input_grid(low, high)
        codes = np.clip(np.rint(found / scale) + zero_point, 0, 255)
        return float(np.square((codes - zero_point) * scale - found).mean())

    assert error(low, high) < error(histogram.low, histogram.high)


def test_entropy_passes_over_the_spike_at_zero() -> None:
    """However many zeros a rectifier leaves, the range is that of the other values."""
    found = np.abs(np.random.default_rng(0).normal(size=50_000)).astype(np.float32)
    with_zeros = np.concatenate([found, np.zeros(1_000_000, np.float32)])
    assert entropy_range(histogram_of(with_zeros))[1] == entropy_range(histogram_of(found))[1]


def test_a_percentile_leaves_its_share_inside() -> None:
    """Of a uniform histogram, as many percent as asked lie inside at either end."""
    low, high = percentile_range(np.ones(1000, np.int64), -1.0, 1.0, 95)
    assert low == pytest.approx(-0.9, abs=0.01)
    assert high == pytest.approx(0.9, abs=0.01)
