"""What training minimizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray

from paddlepress.training.accuracy import logits as logits_of

if TYPE_CHECKING:
    from paddlepress.data import Split


@dataclass(frozen=True)
class Batch:
    """One step's examples.

    Attributes:
        indices: int64 array [n], into the training split.
        inputs: tensor [n, *shape] as the network gets it, after augmentation.
    """

    indices: NDArray[np.int64]
    inputs: paddle.Tensor


Loss = Callable[[paddle.Tensor, paddle.Tensor, Batch], paddle.Tensor]
"""`(logits [n, classes], labels int64 [n], batch) -> scalar`"""


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Cross entropy with the labels, smoothed as in Szegedy et al., "Rethinking the Inception Architecture", 2016."""

    def loss(logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    return loss


def soft_target_loss(
    student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor, temperature: float, alpha: float
) -> paddle.Tensor:
    """The distillation loss of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.

    `alpha * T^2 * KL(teacher || student)` at temperature T, plus `(1 - alpha)` of the cross entropy with
    the labels. T^2 keeps the soft part's gradients at the size of the hard part's.

    Args:
        student, teacher: logits [n, classes].
        labels: int64 [n].
        temperature: above 0; what the logits are divided by.
        alpha: the soft part's share, 0 to 1.
    """
    log_student = F.log_softmax(student / temperature, axis=-1)
    log_teacher = F.log_softmax(teacher / temperature, axis=-1)
    divergence = (paddle.exp(log_teacher) * (log_teacher - log_student)).sum(axis=-1).mean()
    hard = F.cross_entropy(student, labels)
    return alpha * temperature**2 * divergence + (1 - alpha) * hard


def taught_by(
    teacher: paddle.nn.Layer, train: Split, temperature: float, alpha: float, augmented: bool = False
) -> Loss:
    """`soft_target_loss` with a teacher network that does not learn.

    The teacher's logits are computed once, for the whole split, unless augmentation changes its inputs.
    """
    teacher.eval()
    cached = None if augmented else logits_of(teacher, train.inputs)

    def loss(logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return soft_target_loss(logits, target(batch), labels, temperature, alpha)

    def target(batch: Batch) -> paddle.Tensor:
        if cached is not None:
            return paddle.to_tensor(cached[batch.indices])
        with paddle.no_grad():
            return teacher(batch.inputs)

    return loss
