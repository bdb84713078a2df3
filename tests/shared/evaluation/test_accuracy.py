"""Accuracy, its interval, agreement and per-class change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.core.errors import DataError
from paddlepress.evaluation.accuracy import accuracy, agreement, per_class, wilson_interval

LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
LABELS = np.array([0, 1, 2, 0])


def test_accuracy_is_in_percent() -> None:
    """Three of four right is 75."""
    assert accuracy(LOGITS, LABELS) == 75.0


def test_no_examples_are_refused() -> None:
    """There is no accuracy of nothing, and none of a wrong number of predictions."""
    with pytest.raises(DataError, match="at least one"):
        accuracy(LOGITS[:0], LABELS[:0])
    with pytest.raises(DataError, match="4 and 3"):
        accuracy(LOGITS, LABELS[:3])


def test_the_wilson_interval_is_the_published_one() -> None:
    """81 of 263 lies within 25.5% and 36.6% (Newcombe, Statistics in Medicine 1998, method 3)."""
    low, high = wilson_interval(100 * 81 / 263, 263)
    assert (round(low, 2), round(high, 2)) == (25.53, 36.62)


@given(correct=st.integers(0, 1000), wrong=st.integers(0, 1000))
def test_the_interval_holds_the_accuracy_and_stays_within_percent(correct: int, wrong: int) -> None:
    """0 <= low <= accuracy <= high <= 100, at the ends too."""
    count = max(1, correct + wrong)
    percent = 100 * min(correct, count) / count
    low, high = wilson_interval(percent, count)
    assert 0 <= low <= percent + 1e-9
    assert percent - 1e-9 <= high <= 100


def test_agreement_compares_classes_not_logits() -> None:
    """Two models agree where their largest logits are of one class."""
    assert agreement(LOGITS, 7 * LOGITS) == 100.0
    assert agreement(LOGITS, np.roll(LOGITS, 1, axis=1)) == 0.0


def test_per_class_change_is_against_the_base() -> None:
    """Each class with examples has its count, both accuracies and the difference."""
    base = np.eye(3, dtype=np.float32)[LABELS]
    rows = per_class(LOGITS, base, LABELS, ("cat", "dog", "cow"))
    assert [(row.name, row.count, row.accuracy, row.base_accuracy, row.change) for row in rows] == [
        ("cat", 2, 50.0, 100.0, -50.0),
        ("dog", 1, 100.0, 100.0, 0.0),
        ("cow", 1, 100.0, 100.0, 0.0),
    ]


def test_a_class_without_examples_has_no_row() -> None:
    """No accuracy is made up for a class that the test data does not have."""
    assert [row.name for row in per_class(LOGITS, LOGITS, np.array([0, 0, 2, 2]), ("a", "b", "c"))] == ["a", "c"]
