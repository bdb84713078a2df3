"""The loss of a student that learns from teachers' outputs and features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from paddlepress.tasks import Task
from paddlepress.training.batch import Batch
from paddlepress.training.features import Capture
from paddlepress.training.losses import decoupled_loss, standardized
from paddlepress.training.teachers import Teacher
from paddlepress_components.distillation.feature_comparison import FeatureComparison

Soft = Callable[[paddle.Tensor, Sequence[tuple[float, paddle.Tensor]], paddle.Tensor], paddle.Tensor]
"""`(student's outputs, teachers' shares and outputs, targets) -> scalar`: how a student is compared with teachers."""


def diverging(task: Task, temperature: float) -> Soft:
    """The divergence from each teacher by its share.

    Of classifiers it has the gradient of the divergence from the teachers' mean probabilities.
    """

    def compare(
        student: paddle.Tensor, teachers: Sequence[tuple[float, paddle.Tensor]], targets: paddle.Tensor
    ) -> paddle.Tensor:
        return paddle.add_n([share * task.divergence(student, said, temperature) for share, said in teachers])

    return compare


def decoupled(temperature: float, target_weight: float, others_weight: float) -> Soft:
    """`decoupled_loss` against the teachers' mean probabilities at the temperature."""

    def compare(
        student: paddle.Tensor, teachers: Sequence[tuple[float, paddle.Tensor]], targets: paddle.Tensor
    ) -> paddle.Tensor:
        mean = paddle.add_n([share * F.softmax(said / temperature, axis=-1) for share, said in teachers])
        return decoupled_loss(student, mean, targets, temperature, target_weight, others_weight)

    return compare


def logit_standardized(task: Task, temperature: float) -> Soft:
    """The divergence between `standardized` logits."""
    plain = diverging(task, temperature)

    def compare(
        student: paddle.Tensor, teachers: Sequence[tuple[float, paddle.Tensor]], targets: paddle.Tensor
    ) -> paddle.Tensor:
        return plain(standardized(student), [(share, standardized(said)) for share, said in teachers], targets)

    return compare


@dataclass(frozen=True)
class WeightedTeacher:
    """A teacher, and what it counts beside the others.

    Attributes:
        teacher: whose summary, if there is a comparison, is the comparison's.
        share: its weight; those of a student's teachers sum to 1.
        comparison: what is compared of its features.
    """

    teacher: Teacher
    share: float
    comparison: FeatureComparison | None = None


@dataclass(frozen=True)
class DistillationLoss:
    """A `Loss`: `alpha` of the soft part, the rest the task's own, plus what the comparisons compare.

    Attributes:
        task: what the student is for.
        teachers: whose outputs and features are learned.
        soft: how outputs are compared.
        alpha: share of the soft part, 0 to 1.
        captured: the student's features; None where no teacher has a comparison.
    """

    task: Task
    teachers: Sequence[WeightedTeacher]
    soft: Soft
    alpha: float
    captured: Capture | None = None

    def __call__(self, outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        answers = [one.teacher(batch) for one in self.teachers]
        said = [(one.share, answer.outputs) for one, answer in zip(self.teachers, answers, strict=True)]
        parts = [self.alpha * self.soft(outputs, said, targets), (1 - self.alpha) * self.task.loss(outputs, targets)]
        for one, answer in zip(self.teachers, answers, strict=True):
            if one.comparison is not None and self.captured is not None:
                own = [self.captured.outputs[layer] for layer in one.comparison.student_layers]
                parts.append(one.share * one.comparison.compare(own, answer.features))
        return paddle.add_n(parts)
