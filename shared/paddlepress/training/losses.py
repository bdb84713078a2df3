"""What training minimizes: losses on a network's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import paddle
import paddle.nn.functional as F

from paddlepress.training.batch import Batch

if TYPE_CHECKING:
    from paddlepress.data import Split

_TINY = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 has a logarithm all the same


Loss = Callable[[paddle.Tensor, paddle.Tensor, Batch], paddle.Tensor]
"""`(logits [n, classes], labels int64 [n], batch) -> scalar`"""


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Cross entropy with the labels, smoothed as in Szegedy et al., "Rethinking the Inception Architecture", 2016."""

    def loss(logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

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


def divergence(target: paddle.Tensor, log_student: paddle.Tensor) -> paddle.Tensor:
    """KL(target || student), the mean over examples.

    Args:
        target: probabilities [n, classes].
        log_student: log-probabilities [n, classes].
    """
    return (target * (paddle.log(paddle.clip(target, min=_TINY)) - log_student)).sum(axis=-1).mean()


def soft_loss(student: paddle.Tensor, target: paddle.Tensor, temperature: float) -> paddle.Tensor:
    """`T^2 * KL(target || student)` at temperature T: Hinton, Vinyals and Dean, 2015.

    T^2 keeps the gradients at the size that they have at temperature 1.

    Args:
        student: logits [n, classes].
        target: the teacher's probabilities at the same temperature [n, classes].
        temperature: above 0; what the logits are divided by.
    """
    return temperature**2 * divergence(target, F.log_softmax(student / temperature, axis=-1))


def decoupled_loss(
    student: paddle.Tensor,
    target: paddle.Tensor,
    labels: paddle.Tensor,
    temperature: float,
    target_weight: float,
    others_weight: float,
) -> paddle.Tensor:
    """`soft_loss` in two parts with weights of their own: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022.

    The first part compares how probable the label's class is against all others; the second how the others
    compare among themselves. `soft_loss` is the first plus the second times the teacher's probability of the
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
    binary = divergence(
        paddle.concat([of_label, of_others], axis=-1),
        paddle.concat([(log_student * label).sum(axis=-1, keepdim=True), log_others], axis=-1),
    )
    among = target * (1 - label) / paddle.clip(of_others, min=_TINY)
    rest = divergence(among, log_student - log_others)
    return temperature**2 * (target_weight * binary + others_weight * rest)


def mutual_loss(logits: paddle.Tensor, labels: paddle.Tensor, temperature: float, weight: float) -> paddle.Tensor:
    """Deep mutual learning: each peer learns from the labels and from what the other peers say.

    For each peer, cross entropy plus `weight` times the mean over the others of `T^2 * KL(other || peer)`;
    summed over the peers. The others' probabilities are taken as they are: no peer learns to be an easier
    teacher. Zhang et al., "Deep Mutual Learning", CVPR 2018, equations 8 and 9 (which have T = weight = 1).

    Args:
        logits: [peers, n, classes], at least two peers.
        labels: int64 [n].
        temperature: above 0.
        weight: of the peers' part, against 1 for the labels'.
    """
    peers, count, classes = logits.shape
    hard = peers * F.cross_entropy(logits.reshape([peers * count, classes]), paddle.tile(labels, [peers]))
    log_peer = F.log_softmax(logits / temperature, axis=-1)
    fixed = log_peer.detach()
    said = paddle.exp(fixed)
    # sum over k and j != k of KL(j || k); of j = k nothing is left but zeros.
    entropies = (peers - 1) * (said * fixed).sum()
    crossed = ((said.sum(axis=0, keepdim=True) - said) * log_peer).sum()
    return hard + weight * temperature**2 * (entropies - crossed) / (count * (peers - 1))


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
    target = F.softmax(teacher / temperature, axis=-1)
    return alpha * soft_loss(student, target, temperature) + (1 - alpha) * F.cross_entropy(student, labels)


def taught_by(
    teacher: paddle.nn.Layer, train: Split, temperature: float, alpha: float, augmented: bool = False
) -> Loss:
    """`soft_target_loss` with a teacher network that does not learn.

    The teacher's logits are computed once, for the whole split, unless augmentation changes its inputs.
    """
    from paddlepress.training.teachers import Teacher

    asked = Teacher(teacher, train, augmented)

    def loss(logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return soft_target_loss(logits, asked(batch).logits, labels, temperature, alpha)

    return loss
