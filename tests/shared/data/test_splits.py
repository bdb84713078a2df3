"""How examples are divided: at random, class by class, following the seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples, Raw
from paddlepress.data.sources.digits import Digits
from paddlepress.data.splits import apportion, balanced_sample, divide, held_out, stratified_sample

label_arrays = st.lists(st.integers(0, 6), min_size=1, max_size=300).map(lambda values: np.array(values, np.int64))
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31)


def examples(count: int, classes: int = 4, origin: str = "file") -> Examples:
    """Examples that carry their own position as their input."""
    return Examples(np.arange(count, dtype=np.float32)[:, None], np.arange(count) % classes, origin, origin)


def positions(part: Examples) -> set[int]:
    return {int(value) for value in part.inputs[:, 0]}


@settings(deadline=None)
@given(labels=label_arrays, share=shares, seed=seeds)
def test_a_hold_out_covers_everything_once(labels: Any, share: float, seed: int) -> None:
    """The two parts are disjoint, cover every example, and keep each class's proportion."""
    kept, held = held_out(labels, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    total, taken = np.bincount(labels, minlength=7), np.bincount(labels[held], minlength=7)
    assert np.all(taken <= total * share + 1)
    assert np.all((taken >= total * share - 1) | (taken == total - 1))
    assert np.all((total == 0) | (taken < total)), "a class was held out whole"


@settings(deadline=None)
@given(labels=label_arrays, share=shares, seed=seeds)
def test_a_hold_out_follows_its_seed(labels: Any, share: float, seed: int) -> None:
    """The same seed holds out the same examples."""
    np.testing.assert_array_equal(held_out(labels, share, seed)[1], held_out(labels, share, seed)[1])


def test_another_seed_holds_out_others() -> None:
    """Another seed holds out other examples."""
    labels = np.arange(1000) % 10
    assert not np.array_equal(held_out(labels, 0.1, 0)[1], held_out(labels, 0.1, 1)[1])


@settings(deadline=None)
@given(labels=label_arrays, count=st.integers(1, 400), seed=seeds)
def test_samples_have_the_size_asked_for(labels: Any, count: int, seed: int) -> None:
    """A sample has the size asked for, or everything there is, with no example twice."""
    for sample in (stratified_sample, balanced_sample):
        chosen = sample(labels, count, seed)
        assert len(chosen) == min(count, len(labels))
        assert len(np.unique(chosen)) == len(chosen)
        np.testing.assert_array_equal(chosen, sample(labels, count, seed))


@settings(deadline=None)
@given(labels=label_arrays, count=st.integers(1, 400), seed=seeds)
def test_a_balanced_sample_is_balanced(labels: Any, count: int, seed: int) -> None:
    """No class has two examples more than another that has any left to give."""
    total = np.bincount(labels, minlength=7)
    taken = np.bincount(labels[balanced_sample(labels, count, seed)], minlength=7)
    not_exhausted = taken[taken < total]
    if len(not_exhausted):
        assert taken.max() - not_exhausted.min() <= 1


@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=8), share=shares)
def test_apportionment_adds_up(counts: list[int], share: float) -> None:
    """Quotas add up to the total and each is within one of its ideal."""
    most = np.array(counts)
    total = round(share * int(most.sum()))
    quotas = apportion(most * share, total, most)
    assert quotas.sum() == total
    assert np.all(np.abs(quotas - most * share) <= 1 + 1e-6)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(40, 200),
    share=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    limit=st.integers(1, 200),
    seed=seeds,
)
def test_a_divided_data_set(count: int, share: float, test: float, limit: int, seed: int) -> None:
    """Training, validation and test share no example, calibration is part of training, and limits hold."""
    config = Digits(validation=share, test=test, seed=seed, limit=limit, calibration=16, test_limit=limit)
    parts = divide(Raw("raw", examples(count)), config)
    train, validation, held = positions(parts.train), positions(parts.validation), positions(parts.test)
    assert not train & validation and not train & held and not validation & held
    assert positions(parts.calibration) <= train
    assert 0 < len(train) <= limit and 0 < len(held) <= limit and validation
    assert len(parts.calibration) == min(16, len(train))


def test_without_limits_nothing_is_lost() -> None:
    """Every example is in exactly one of training, validation and test."""
    parts = divide(Raw("raw", examples(101)), Digits())
    assert positions(parts.train) | positions(parts.validation) | positions(parts.test) == set(range(101))
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 101


def test_a_limit_leaves_the_test_split_alone() -> None:
    """`limit` changes neither the test split nor which examples validation draws from."""
    raw = Raw("raw", examples(400))
    full, limited = divide(raw, Digits()), divide(raw, Digits(limit=50))
    assert positions(full.test) == positions(limited.test)
    assert positions(limited.train) < positions(full.train)
    assert positions(limited.validation) < positions(full.validation)
    assert len(limited.validation) / len(full.validation) == pytest.approx(50 / len(full.train), abs=0.02)


def test_a_sources_own_splits_are_kept() -> None:
    """Validation and test splits that the source has are used as they are."""
    raw = Raw("raw", examples(50), validation=examples(20), test=examples(30))
    parts = divide(raw, Digits())
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (50, 20, 30)


def test_a_split_that_would_be_empty() -> None:
    """Too few examples to hold any out is told, naming file, share and count."""
    with pytest.raises(DataError, match=r"tiny: the test split would be empty: 0.2 of 4 examples"):
        divide(Raw("raw", examples(4, origin="tiny")), Digits())
