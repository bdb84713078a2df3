from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress_components.quantization.kmeans import Initialization, codebook, nearest, share

INITIALIZATIONS = st.sampled_from(get_args(Initialization))
finite = st.floats(-1e3, 1e3, width=32)
arrays = hn.arrays(np.float32, st.integers(1, 60), elements=finite)


def error(values: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of squared distances to the nearest centroid, the long way."""
    distances = np.abs(values.astype(np.float64)[:, None] - centroids.astype(np.float64))
    return float((distances.min(axis=1) ** 2).sum())


@given(arrays, st.integers(1, 16), INITIALIZATIONS, st.integers(0, 5))
def test_a_codebook_is_a_fixed_point_and_no_worse_than_its_start(
    values: np.ndarray, size: int, initialization: Initialization, seed: int
) -> None:
    """No more centroids than asked, each the mean of what is nearest to it, and no worse than one mean for all."""
    found = codebook(values, size, initialization, seed)
    assert 1 <= found.size <= size
    assert (np.diff(found) > 0).all()
    mean = np.array([values.astype(np.float64).mean()])
    assert error(values, found) <= error(values, mean) * (1 + 1e-6) + 1e-6
    linear = np.linspace(values.min(), values.max(), size)
    if initialization == "linear":
        assert error(values, found) <= error(values, linear) * (1 + 1e-6) + 1e-6
    places = np.searchsorted(found, nearest(values, found))
    for place, centroid in enumerate(found):
        near = values[places == place].astype(np.float64)
        assert near.size
        assert near.mean() == pytest.approx(float(centroid), rel=1e-5, abs=1e-4)


@given(arrays, INITIALIZATIONS)
def test_few_values_are_their_own_codebook(values: np.ndarray, initialization: Initialization) -> None:
    """With as many centroids as there are different values, nothing is lost."""
    distinct = np.unique(values)
    found = codebook(values, distinct.size, initialization, 0)
    assert np.array_equal(nearest(values, found), values)


@given(arrays, arrays)
def test_nearest_is_nearest(values: np.ndarray, others: np.ndarray) -> None:
    """No centroid is closer than the one a value gets."""
    centroids = np.unique(others)
    chosen = nearest(values, centroids).astype(np.float64)
    least = np.abs(values.astype(np.float64)[:, None] - centroids).min(axis=1)
    assert np.allclose(np.abs(values - chosen), least, rtol=1e-6, atol=0)


def test_outliers_leave_no_centroid_without_weights() -> None:
    """A linear start over a wide range ends with all centroids in use, close to a start over the weights."""
    values = np.random.default_rng(0).standard_t(3, 50_000).astype(np.float32)
    linear, density = (codebook(values, 16, each, 0) for each in ("linear", "density"))
    assert linear.size == density.size == 16
    assert error(values, linear) < 1.3 * error(values, density)


def test_more_bits_lose_less() -> None:
    """Each bit more lowers the error by far."""
    values = np.random.default_rng(0).normal(0, 1, 20_000).astype(np.float32)
    errors = [error(values, codebook(values, 2**bits, "density", 0)) for bits in range(1, 8)]
    assert all(more < 0.45 * less for less, more in pairwise(errors))


def test_the_seed_decides_a_random_start() -> None:
    """The same seed gives the same codebook, another seed another one."""
    values = np.random.default_rng(0).normal(0, 1, 5_000).astype(np.float32)
    first, again, other = (codebook(values, 32, "random", seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(hn.arrays(np.float32, (6, 5), elements=st.sampled_from([0.0, 1.0, -1.0, 2.5, 3.0, -7.0])), st.integers(1, 3))
def test_pruned_weights_have_a_value_of_their_own(weight: np.ndarray, bits: int) -> None:
    """Zeros stay, nothing else becomes zero, and zero counts as one of the values."""
    shared = share(weight, bits, "density", 0, keep_zeros=True)
    assert np.array_equal(shared == 0, weight == 0)
    assert np.unique(shared).size <= 2**bits


def test_a_centroid_at_zero_is_not_the_zero_of_pruned_weights() -> None:
    """Weights whose mean is zero share a value beside it."""
    weight = np.array([0, 0, 1, -1], np.float32)
    shared = share(weight, 1, "linear", 0, keep_zeros=True)
    assert np.array_equal(shared == 0, weight == 0)
    assert np.unique(shared).size == 2
