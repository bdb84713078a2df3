"""Accuracy, its interval, agreement and per-class change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from paddlepress.core.errors import DataError, UsageError
from paddlepress.tasks import AnyTask, Classification
from paddlepress.tasks.classification import accuracy
from paddlepress.tasks.intervals import wilson

LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
LABELS = np.array([0, 1, 2, 0])
TASK = Classification(classes=("cat", "dog", "cow"))


def test_accuracy_is_in_percent() -> None:
    """Three of four right is 75."""
    assert accuracy(LOGITS, LABELS) == 75.0


def test_every_class_counts_alike_in_macro_f1() -> None:
    """Cat has precision 1 and recall 1/2, dog is right, cow has precision 1/2; a class without examples is none."""
    assert TASK.further(LOGITS, LABELS) == {"macro_f1": pytest.approx(100 * (2 / 3 + 1 + 2 / 3) / 3)}
    assert TASK.further(LOGITS[:2], LABELS[:2]) == {"macro_f1": 100.0}


def test_of_many_classes_the_five_largest_logits_are_looked_at() -> None:
    """A class in the fifth place counts, one in the sixth does not."""
    task = Classification(classes=tuple("0123456"))
    logits = np.tile(np.arange(7.0, dtype=np.float32), (4, 1))
    assert task.further(logits, np.array([6, 2, 1, 0]))["top5_accuracy"] == 50.0


def test_balanced_weights_are_taken_from_the_training_examples() -> None:
    """n / (classes * examples of the class); a class without examples is weighted like any."""
    task = Classification(classes=("cat", "dog", "cow"), class_weights="balanced")
    assert task.fitted(np.array([0, 0, 0, 1])).class_weights == pytest.approx((4 / 9, 4 / 3, 1.0))
    assert TASK.fitted(LABELS).class_weights == ()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], "2 weights for 3 classes"),
        ([1, 0, 1], r"\[1, 0, 1\]: must be 'balanced', or a list"),
        ("even", "'even': must be 'balanced', or a list"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: object, words: str) -> None:
    """One positive number for each class, or the word."""
    with pytest.raises(UsageError, match=words):
        Classification.stating({"classes": ["cat", "dog", "cow"], "class_weights": weights})


def test_weights_are_those_of_the_loss() -> None:
    """The sum of the weighted losses over the sum of the weights, as Paddle's own weighted cross entropy."""
    import paddle
    import paddle.nn.functional as F

    task = Classification(classes=("cat", "dog", "cow"), class_weights=(1.0, 2.0, 5.0))
    logits, labels = paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS)
    expected = F.cross_entropy(logits, labels, weight=paddle.to_tensor([1.0, 2.0, 5.0]))
    assert float(task.loss(logits, labels)) == pytest.approx(float(expected))
    assert float(task.loss(logits, labels, label_smoothing=0.1)) > float(expected)
    even = Classification(classes=("cat", "dog", "cow"), class_weights=(3.0, 3.0, 3.0))
    for smoothing in (0.0, 0.1):
        assert float(even.loss(logits, labels, smoothing)) == pytest.approx(float(TASK.loss(logits, labels, smoothing)))


def test_no_examples_are_refused() -> None:
    """There is no accuracy of nothing, and none of a wrong number of predictions."""
    with pytest.raises(DataError, match="at least one"):
        accuracy(LOGITS[:0], LABELS[:0])
    with pytest.raises(DataError, match="4 and 3"):
        accuracy(LOGITS, LABELS[:3])


def test_the_wilson_interval_is_the_published_one() -> None:
    """81 of 263 lies within 25.5% and 36.6% (Newcombe, Statistics in Medicine 1998, method 3)."""
    low, high = wilson(100 * 81 / 263, 263)
    assert (round(low, 2), round(high, 2)) == (25.53, 36.62)


@given(correct=st.integers(0, 1000), wrong=st.integers(0, 1000))
def test_the_interval_holds_the_accuracy_and_stays_within_percent(correct: int, wrong: int) -> None:
    """0 <= low <= accuracy <= high <= 100, at the ends too."""
    count = max(1, correct + wrong)
    percent = 100 * min(correct, count) / count
    low, high = wilson(percent, count)
    assert 0 <= low <= percent + 1e-9
    assert percent - 1e-9 <= high <= 100


def test_agreement_compares_classes_not_logits() -> None:
    """Two models agree where their largest logits are of one class."""
    assert TASK.agreement(LOGITS, 7 * LOGITS) == 100.0
    assert TASK.agreement(LOGITS, np.roll(LOGITS, 1, axis=1)) == 0.0


def test_classes_with_examples_are_groups() -> None:
    """A class that the test data does not have is no group: no accuracy is made up for it."""
    groups = TASK.groups(np.array([0, 0, 2, 2]))
    assert {name: mask.tolist() for name, mask in groups.items()} == {
        "cat": [True, True, False, False],
        "cow": [False, False, True, True],
    }


def test_what_logits_say_is_a_class_and_its_probability() -> None:
    """A device is told names and probabilities, not logits."""
    decoded = TASK.decode(np.log(np.array([[0.2, 0.7, 0.1]], np.float32)))
    assert decoded["label"].tolist() == ["dog"]
    assert decoded["score"] == pytest.approx([0.7])
    assert TASK.decode(LOGITS[:0])["label"].tolist() == []


def test_a_task_is_read_by_its_kind() -> None:
    """Data name the task by the name that it is registered under; another name is refused with those there are."""
    adapter = TypeAdapter(AnyTask)
    assert adapter.validate_python(TASK.model_dump(mode="json")) == TASK
    assert adapter.dump_python(TASK) == {"kind": "classification", "classes": ("cat", "dog", "cow")}
    weighted = TASK.model_copy(update={"class_weights": (1.0, 2.0, 3.0)})
    assert adapter.validate_python(weighted.model_dump(mode="json")) == weighted
    with pytest.raises(ValueError, match=r"'guessing'.*classification"):
        adapter.validate_python({"kind": "guessing", "classes": ["a", "b"]})


def test_logits_for_other_classes_mean_nothing() -> None:
    """Other classes are told by number, name and order."""
    assert TASK.mismatch(TASK) == ""
    assert "2 classes" in TASK.mismatch(Classification(classes=("cat", "dog")))
    assert "class 1: 'cow', not 'dog'" in TASK.mismatch(Classification(classes=("cat", "cow", "dog")))


def test_a_task_has_something_to_tell() -> None:
    """A classification of no class at all is none, whoever states it."""
    with pytest.raises(ValidationError, match="at least 1 item"):
        Classification(classes=())
