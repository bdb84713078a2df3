from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddlepress.testing import digits, trained
from paddlepress.training.losses import Batch, soft_target_loss, taught_by


def tensors(seed: int) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    generator = np.random.default_rng(seed)
    student, teacher = (paddle.to_tensor(generator.normal(size=(8, 5)).astype(np.float32)) for _ in range(2))
    return student, teacher, paddle.to_tensor(generator.integers(0, 5, 8))


def test_soft_loss_is_zero_where_the_student_equals_the_teacher() -> None:
    """With alpha 1, a student that says what the teacher says has no loss."""
    student, _, labels = tensors(0)
    assert float(soft_target_loss(student, student, labels, 4.0, 1.0)) == pytest.approx(0, abs=1e-6)


def test_alpha_zero_is_plain_cross_entropy() -> None:
    """With alpha 0 only the labels count."""
    student, teacher, labels = tensors(1)
    assert float(soft_target_loss(student, teacher, labels, 4.0, 0.0)) == pytest.approx(
        float(F.cross_entropy(student, labels))
    )


def test_the_gradient_keeps_its_size_as_temperature_grows() -> None:
    """At a high temperature the gradient is (student - teacher) / classes, centred: T squared makes up for 1 / T."""
    student, teacher, labels = tensors(2)
    student.stop_gradient = False
    soft_target_loss(student, teacher, labels, 100.0, 1.0).backward()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    np.testing.assert_allclose(student.grad.numpy(), (centred / (8 * 5)).numpy(), atol=1e-3)


def test_cached_and_live_teachers_agree() -> None:
    """The cached logits are those that the teacher would give for the same examples."""
    train = digits().split("train")
    indices = np.array([5, 900, 17])
    batch = Batch(indices, paddle.to_tensor(train.inputs[indices]))
    student, labels = paddle.zeros([3, 10]), paddle.to_tensor(train.labels[indices])
    teacher = trained().network
    cached = taught_by(teacher, train, 4.0, 0.7)(student, labels, batch)
    live = taught_by(teacher, train, 4.0, 0.7, augmented=True)(student, labels, batch)
    assert float(cached) == pytest.approx(float(live), rel=1e-5)
