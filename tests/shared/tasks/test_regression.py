"""Regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from paddlepress.core.errors import DataError
from paddlepress.tasks import MultiLabel, Regression, Task
from paddlepress.tasks.base import Targets

TASK = Regression(targets=("width", "height"), mean=(10.0, -2.0), std=(5.0, 0.5))
VALUES = np.random.default_rng(0).normal([10, -2], [5, 0.5], (50, 2)).astype(np.float32)


def test_predictions_come_back_in_the_datas_unit() -> None:
    """Decoding undoes what standardizing does."""
    decoded = TASK.decode(np.asarray(TASK.standardized(VALUES)))
    np.testing.assert_allclose(decoded["width"], VALUES[:, 0], rtol=1e-5)
    np.testing.assert_allclose(decoded["height"], VALUES[:, 1], rtol=1e-4)


@given(st.integers(0, 1000), st.floats(0, 3))
def test_r_squared_is_that_of_one_target(seed: int, noise: float) -> None:
    """Of one target it is scikit-learn's, and lies within its interval."""
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=(40, 1)).astype(np.float32)
    outputs = (targets + noise * generator.normal(size=(40, 1))).astype(np.float32)
    score = Regression(targets=("x",)).score(outputs, targets)
    assert score.value == pytest.approx(100 * r2_score(targets, outputs), abs=1e-3)
    assert score.low <= score.value <= max(score.high, score.value)


def test_what_is_learned_does_not_depend_on_the_unit() -> None:
    """The loss of the mean prediction is 1 whatever targets are measured in."""
    task = Regression(targets=("a",)).fitted(1e6 * VALUES[:, :1])
    assert float(task.loss(paddle.zeros([50, 1]), paddle.to_tensor(1e6 * VALUES[:, :1]))) == pytest.approx(1, rel=1e-3)


def test_a_student_that_says_the_same_is_no_way_off() -> None:
    """Divergence and agreement are those of equals."""
    outputs = paddle.to_tensor(VALUES)
    assert float(TASK.divergence(outputs, outputs)) == 0
    assert TASK.agreement(VALUES, VALUES) == 100
    assert TASK.agreement(VALUES + 100, VALUES) == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((3, 5)), r"\[3, 5\].*\[n, 2\]"),
        (np.full((3, 2), np.nan), r"target 0 holds nan \(3 such targets\). Valid: finite numbers, up to 3.4e38"),
        (np.array([[1.0, 2.0], [1e300, 2.0]]), r"target 1 holds 1e\+300 \(1 such targets\)"),
        (np.array([["a", "b"]]), "numbers of shape"),
    ],
)
def test_targets_that_are_none_are_refused(values: np.ndarray, said: str) -> None:
    """Shape, type and value are told."""
    with pytest.raises(DataError, match=said):
        TASK.read(values, "y")


def test_a_target_that_never_changes_is_refused() -> None:
    """There is nothing to learn, and no deviation to divide by."""
    with pytest.raises(DataError, match="'height' is the same"):
        Regression(targets=("width", "height")).fitted(np.stack([VALUES[:, 0], np.ones(50, np.float32)], axis=1))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mean": (float("inf"), 0), "std": (1, 1)}, "'mean' holds inf"),
        ({"mean": (0, 0), "std": (1, 0)}, "'std' holds 0"),
        ({"targets": ("a", "a")}, "distinct"),
    ],
)
def test_a_task_that_means_nothing_is_refused(fields: dict[str, Any], said: str) -> None:
    """As a user or a damaged manifest may state it."""
    with pytest.raises(ValueError, match=said):
        Regression(**{"targets": ("width", "height"), **fields})


@pytest.mark.parametrize("kind", [Regression, MultiLabel])
def test_places_among_classes_are_no_numbers(kind: type[Task]) -> None:
    """Folders called 20 and 35 are no ages 0 and 1; where classes are called by their places, the places are meant."""
    values = np.array([0, 1, 1, 0])
    with pytest.raises(
        DataError, match=r"images: the targets are the classes 20, 35, which are no numbers. Valid: the task"
    ):
        kind.of_data({}, Targets(values, "images", ("20", "35")))
    assert kind.of_data({}, Targets(values, "images", ("0", "1"))).read(values, "images").tolist() == [
        [0],
        [1],
        [1],
        [0],
    ]
