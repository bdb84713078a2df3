"""The loss of a student that learns from teachers' outputs and features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import paddle
import paddle.nn.functional as F

from paddlepress.training.batch import Batch
from paddlepress.training.features import Capture
from paddlepress.training.losses import decoupled_loss, soft_loss, standardized
from paddlepress.training.teachers import Teacher
from paddlepress_components.distillation.hints import Guide


@dataclass(frozen=True)
class SoftPart:
    """How outputs are compared.

    Attributes:
        kind: see `DistillOffline`.
        temperature: what logits are divided by.
        target_weight, others_weight: of the parts of `decoupled`.
    """

    kind: Literal["kd", "decoupled", "logit-standardized"]
    temperature: float
    target_weight: float = 1.0
    others_weight: float = 1.0

    def soften(self, logits: paddle.Tensor) -> paddle.Tensor:
        """A teacher's probabilities at the temperature [n, classes]."""
        return F.softmax(self._scaled(logits) / self.temperature, axis=-1)

    def loss(self, student: paddle.Tensor, target: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """The loss of a student's logits against probabilities at the temperature."""
        if self.kind == "decoupled":
            weights = self.target_weight, self.others_weight
            return decoupled_loss(student, target, labels, self.temperature, *weights)
        return soft_loss(self._scaled(student), target, self.temperature)

    def _scaled(self, logits: paddle.Tensor) -> paddle.Tensor:
        return standardized(logits) if self.kind == "logit-standardized" else logits


@dataclass(frozen=True)
class Taught:
    """A teacher in a lesson.

    Attributes:
        teacher: whose summary, if there is a guide, is the guide's.
        share: its weight; those of a lesson's teachers sum to 1.
        guide: what is compared of its features.
    """

    teacher: Teacher
    share: float
    guide: Guide | None = None


@dataclass(frozen=True)
class Lesson:
    """A `Loss`: `alpha` of the soft part, the rest cross entropy, plus what the guides compare.

    Attributes:
        taught: the teachers.
        soft: how outputs are compared.
        alpha: share of the soft part, 0 to 1.
        captured: the student's features; None where no teacher has a guide.
    """

    taught: Sequence[Taught]
    soft: SoftPart
    alpha: float
    captured: Capture | None = None

    def __call__(self, logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        answers = [one.teacher(batch) for one in self.taught]
        softened = [
            one.share * self.soft.soften(answer.logits) for one, answer in zip(self.taught, answers, strict=True)
        ]
        parts = [self.alpha * self.soft.loss(logits, paddle.add_n(softened), labels)]
        parts.append((1 - self.alpha) * F.cross_entropy(logits, labels))
        for one, answer in zip(self.taught, answers, strict=True):
            if one.guide is not None and self.captured is not None:
                own = [self.captured.outputs[layer] for layer in one.guide.student_layers]
                parts.append(one.share * one.guide.compare(own, answer.features))
        return paddle.add_n(parts)
