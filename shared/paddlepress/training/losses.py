"""What training minimizes: losses on a network's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import paddle
import paddle.nn.functional as F

from paddlepress.tasks.classification import kl_divergence
from paddlepress.training.batch import Batch

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.network.model import Model
    from paddlepress.tasks import Task

_TINY = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 has a logarithm all the same


Loss = Callable[[paddle.Tensor, paddle.Tensor, Batch], paddle.Tensor]
"""`(outputs [n, ...], targets [n, ...], batch) -> scalar`"""


def labels_of(task: Task, smoothing: float = 0.0) -> Loss:
    """The task's own loss.

    Args:
        task: what the network is for.
        smoothing: share of each label given to all others.
    """

    def loss(outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return task.loss(outputs, targets, smoothing)

    return loss


def taught_by(teacher: Model, train: Split, temperature: float, alpha: float, augmented: bool = False) -> Loss:
    """`alpha` of the divergence from a teacher that does not learn, and `1 - alpha` of the task's own loss.

    For a classifier the distillation loss of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
    Network", 2015. The teacher's outputs are computed once, for the whole split, unless augmentation changes its
    inputs.

    Args:
        teacher: for the student's task.
        train: the split that the student learns from.
        temperature: above 0; what logits are divided by.
        alpha: share of the divergence, 0 to 1.
        augmented: whether a batch's inputs are others than the split's own.
    """
    from paddlepress.training.teachers import Teacher

    asked, task = Teacher(teacher.network, train, augmented), teacher.task

    def loss(outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        soft = task.divergence(outputs, asked(batch).outputs, temperature)
        return alpha * soft + (1 - alpha) * task.loss(outputs, targets)

    return loss


def standardized(logits: paddle.Tensor) -> paddle.Tensor:
    """Logits of mean 0 and standard deviation 1 for each example.

    A student then has to have the order and proportions of its teacher's logits, not their size: Sun et al.,
    "Logit Standardization in Knowledge Distillation", CVPR 2024, algorithm 1.

    Args:
        logits: [n, classes], at least two classes.
    """
    centred = logits - logits.mean(axis=-1, keepdim=True)
    return centred / (paddle.sqrt(paddle.square(centred).mean(axis=-1, keepdim=True)) + 1e-7)


def decoupled_loss(
    student: paddle.Tensor,
    target: paddle.Tensor,
    labels: paddle.Tensor,
    temperature: float,
    target_weight: float,
    others_weight: float,
) -> paddle.Tensor:
    """The divergence of classifiers in two parts with weights of their own.

    Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022.

    The first part compares how probable the label's class is against all others; the second how the others
    compare among themselves. The divergence is the first plus the second times the teacher's probability of the
    others, which leaves little of the second where the teacher is sure (equation 7).

    Args:
        student: logits [n, classes], at least two classes.
        target: the teacher's probabilities at the temperature [n, classes].
        labels: int64 [n].
        temperature: above 0; what the logits are divided by.
        target_weight, others_weight: of the two parts; alpha and beta in the paper.
    """
    log_student = F.log_softmax(student / temperature, axis=-1)
    label = F.one_hot(labels, student.shape[-1]).astype(target.dtype)
    # The log-probability of any other class, without 1 minus nearly 1.
    log_others = paddle.logsumexp(log_student - 1e9 * label, axis=-1, keepdim=True)
    of_label = (target * label).sum(axis=-1, keepdim=True)
    of_others = (target * (1 - label)).sum(axis=-1, keepdim=True)
    binary = kl_divergence(
        paddle.concat([of_label, of_others], axis=-1),
        paddle.concat([(log_student * label).sum(axis=-1, keepdim=True), log_others], axis=-1),
    )
    among = target * (1 - label) / paddle.clip(of_others, min=_TINY)
    rest = kl_divergence(among, log_student - log_others)
    return temperature**2 * (target_weight * binary + others_weight * rest)
