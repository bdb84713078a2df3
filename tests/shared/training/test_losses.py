from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.tasks import Classification
from paddlepress.tasks.classification import kl_divergence
from paddlepress.testing import digits, trained
from paddlepress.training.batch import Batch
from paddlepress.training.losses import decoupled_loss, standardized, taught_by

seeds = st.integers(0, 10_000)
temperatures = st.floats(0.5, 10)
TASK = Classification(classes=("a", "b", "c", "d", "e"))


def tensors(seed: int, count: int = 8) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    generator = np.random.default_rng(seed)
    student, teacher = (paddle.to_tensor(generator.normal(size=(count, 5)).astype(np.float32)) for _ in range(2))
    return student, teacher, paddle.to_tensor(generator.integers(0, 5, count))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def kl(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * np.log(first / second)).sum(axis=-1).mean())


def test_divergence_is_zero_where_the_student_equals_the_teacher() -> None:
    """A student that says what the teacher says is nowhere apart from it."""
    student, _, _ = tensors(0)
    assert float(TASK.divergence(student, student, 4.0)) == pytest.approx(0, abs=1e-6)


def test_alpha_zero_is_plain_cross_entropy() -> None:
    """With alpha 0 only the labels count."""
    train = digits().split("train")
    batch = Batch(np.arange(3), (paddle.to_tensor(train.inputs[:3]),))
    student, labels = paddle.randn([3, 10]), paddle.to_tensor(train.labels[:3])
    loss = taught_by(trained(), train, 4.0, 0.0)(student, labels, batch)
    assert float(loss) == pytest.approx(float(F.cross_entropy(student, labels)))


def test_the_gradient_keeps_its_size_as_temperature_grows() -> None:
    """At a high temperature the gradient is (student - teacher) / classes, centred: T squared makes up for 1 / T."""
    student, teacher, _ = tensors(2)
    student.stop_gradient = False
    TASK.divergence(student, teacher, 100.0).backward()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    np.testing.assert_allclose(student.grad.numpy(), (centred / (8 * 5)).numpy(), atol=1e-3)


def test_cached_and_live_teachers_agree() -> None:
    """The cached logits are those that the teacher would give for the same examples."""
    train = digits().split("train")
    indices = np.array([5, 900, 17])
    batch = Batch(indices, (paddle.to_tensor(train.inputs[indices]),))
    student, labels = paddle.zeros([3, 10]), paddle.to_tensor(train.labels[indices])
    teacher = trained()
    cached = taught_by(teacher, train, 4.0, 0.7)(student, labels, batch)
    live = taught_by(teacher, train, 4.0, 0.7, augmented=True)(student, labels, batch)
    assert float(cached) == pytest.approx(float(live), rel=1e-5)


@given(seeds, temperatures)
@settings(max_examples=25, deadline=None)
def test_divergence_is_the_papers(seed: int, temperature: float) -> None:
    """T^2 times the KL divergence, as NumPy computes it."""
    student, teacher, _ = tensors(seed)
    said, target = (softmax(logits.numpy().astype(np.float64) / temperature) for logits in (student, teacher))
    loss = TASK.divergence(student, teacher, temperature)
    assert float(loss) == pytest.approx(temperature**2 * kl(target, said), rel=1e-3, abs=1e-5)


def test_a_teacher_that_is_sure_gives_a_finite_loss_and_gradient() -> None:
    """A probability that underflows to zero counts for nothing, in every loss."""
    student = paddle.to_tensor([[0.5, -1.0, 2.0]], stop_gradient=False)
    sure, label = paddle.to_tensor([[1.0, 0.0, 0.0]]), paddle.to_tensor([0])
    certain = paddle.to_tensor([[1000.0, 0.0, 0.0]])
    for loss in (TASK.divergence(student, certain, 2.0), decoupled_loss(student, sure, label, 2.0, 1.0, 8.0)):
        student.clear_grad()
        loss.backward()
        assert np.isfinite(float(loss))
        assert np.isfinite(student.grad.numpy()).all()


@given(seeds, temperatures)
@settings(max_examples=25, deadline=None)
def test_decoupled_is_distillation_with_the_weights_of_the_decomposition(seed: int, temperature: float) -> None:
    """Of one example, KD = TCKD + (1 - p) NCKD, where p is the label's probability (Zhao et al., equation 7)."""
    student, teacher, labels = tensors(seed, count=1)
    target = F.softmax(teacher / temperature, axis=-1)
    sure = float(target[0, int(labels[0])])
    parts = decoupled_loss(student, target, labels, temperature, 1.0, 1 - sure)
    assert float(parts) == pytest.approx(float(TASK.divergence(student, teacher, temperature)), rel=1e-3, abs=1e-5)


@given(seeds, st.floats(0, 3), st.floats(0, 10))
@settings(max_examples=25, deadline=None)
def test_decoupled_parts_are_the_papers(seed: int, alpha: float, beta: float) -> None:
    """Each part is the one that NumPy computes from its definition, times its weight."""
    student, teacher, labels = tensors(seed)
    said, target = (softmax(logits.numpy().astype(np.float64) / 2) for logits in (student, teacher))
    rows, label = np.arange(8), labels.numpy()
    both = [np.stack([p[rows, label], 1 - p[rows, label]], axis=1) for p in (target, said)]
    others = np.ones((8, 5), bool)
    others[rows, label] = False
    rest = [softmax(logits.numpy().astype(np.float64)[others].reshape(8, 4) / 2) for logits in (teacher, student)]
    expected = 4 * (alpha * kl(*both) + beta * kl(*rest))
    loss = decoupled_loss(student, F.softmax(teacher / 2, axis=-1), labels, 2.0, alpha, beta)
    assert float(loss) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@given(seeds, st.floats(0.1, 50), st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_standardized_logits_forget_size_and_offset(seed: int, scale: float, offset: float) -> None:
    """Logits times a number plus a number are the same once standardized: of mean 0 and deviation 1."""
    logits, _, _ = tensors(seed)
    found = standardized(logits).numpy()
    np.testing.assert_allclose(standardized(logits * scale + offset).numpy(), found, atol=5e-3)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=1), 1, atol=1e-4)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_divergence_is_least_where_both_agree(seed: int) -> None:
    """KL is never negative, and zero between equals."""
    student, teacher, _ = tensors(seed)
    target = F.softmax(teacher, axis=-1)
    assert float(kl_divergence(target, F.log_softmax(student, axis=-1))) >= 0
    assert float(kl_divergence(target, F.log_softmax(teacher, axis=-1))) == pytest.approx(0, abs=1e-6)
