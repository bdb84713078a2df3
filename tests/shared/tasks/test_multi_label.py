"""Multi-label classification."""

from __future__ import annotations

import tracemalloc

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from paddlepress.core.errors import DataError
from paddlepress.tasks import MultiLabel

TASK = MultiLabel(labels=("round", "red", "ripe"))


@given(st.integers(0, 1000))
def test_f1_is_micro_averaged(seed: int) -> None:
    """It is scikit-learn's, and lies within its interval."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((30, 3)) < 0.4).astype(np.float32)
    outputs = generator.normal(size=(30, 3)).astype(np.float32)
    score = TASK.score(outputs, targets)
    assert score.value == pytest.approx(100 * f1_score(targets, outputs > 0, average="micro"), abs=1e-6)
    assert score.low - 1e-9 <= score.value <= score.high + 1e-9


def test_a_score_takes_no_more_memory_than_its_examples() -> None:
    """Each resampling is forgotten before the next."""
    targets = np.eye(3, dtype=np.float32)[np.arange(20_000) % 3]
    tracemalloc.start()
    TASK.score(targets - 0.5, targets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * targets.nbytes


def test_probabilities_are_each_labels_own() -> None:
    """They need not sum to one, and large logits overflow nothing."""
    decoded = TASK.decode(np.array([[1000.0, 0.0, -1000.0]], np.float32))
    assert [float(decoded[name][0]) for name in TASK.labels] == [1.0, 0.5, 0.0]


def test_divergence_is_least_where_both_agree() -> None:
    """It is 0 between equals, positive between others, and has no gradient at the teacher's own outputs."""
    paddle.seed(0)
    teacher, student = paddle.randn([8, 3]), paddle.randn([8, 3])
    assert float(TASK.divergence(student, teacher, 2.0)) > 0
    student = paddle.to_tensor(teacher.numpy(), stop_gradient=False)
    loss = TASK.divergence(student, teacher, 2.0)
    loss.backward()
    assert float(loss) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(student.grad.numpy(), 0, atol=1e-6)


def test_examples_of_each_label_are_groups() -> None:
    """A label that no example has is none."""
    groups = TASK.groups(np.array([[1, 0, 0], [1, 1, 0]], np.float32))
    assert {name: mask.tolist() for name, mask in groups.items()} == {"round": [True, True], "red": [False, True]}


@pytest.mark.parametrize(
    ("values", "said"),
    [(np.zeros((3, 2)), r"\[n, 3\]"), (np.array([[0, 1, 2]]), "target 0 has 2 for 'ripe'"), (np.zeros(3), "shape")],
)
def test_targets_that_are_none_are_refused(values: np.ndarray, said: str) -> None:
    """Shape and value are told, with the label."""
    with pytest.raises(DataError, match=said):
        TASK.read(values, "y")


def test_one_label_needs_no_second_dimension() -> None:
    """Zeros and ones [n] are those of a single label; names of several are distinct."""
    assert MultiLabel(labels=("red",)).read(np.array([0, 1]), "y").tolist() == [[0], [1]]
    with pytest.raises(
        DataError, match=r"y: the targets are int64 of shape \[2\]. Valid: zeros and ones of shape \[n, 3\]"
    ):
        TASK.read(np.array([0, 1]), "y")
    with pytest.raises(ValueError, match="names one more than once"):
        MultiLabel(labels=("red", "red"))
