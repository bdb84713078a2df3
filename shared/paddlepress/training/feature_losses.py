"""Losses between what a student and its teacher compute inside."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

_SAME = 1e-6  # squared distances below this share of their mean count as none: rounding made them


def hint_loss(regressed: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Squared error between a student's regressed feature and its teacher's, as a share of the teacher's square.

    Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3; the share makes a weight mean the
    same whatever the size of the activations.

    Args:
        regressed, teacher: of one shape [n, ...].

    Returns:
        A scalar: 0 for equal features, 1 for a student that gives zeros.
    """
    size = paddle.square(teacher).mean().detach() + float(np.finfo(np.float32).tiny)
    return paddle.square(regressed - teacher).mean() / size


def attention_map(feature: paddle.Tensor) -> paddle.Tensor:
    """Where a network looks: the sum over channels of squared activations, as a vector of length 1.

    Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, section 3.1 (p = 2).

    Args:
        feature: [n, channels, *places].

    Returns:
        [n, product of places], at least 0.
    """
    return F.normalize(paddle.square(feature).mean(axis=1).flatten(1), axis=1)


def attention_loss(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """Mean squared difference of two attention maps [n, places]; the paper's with the authors' mean over places."""
    return paddle.square(student - teacher).mean()


def distance_loss(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """How differently two embeddings space a batch's examples out; each one's mean distance counts as 1.

    Park et al., "Relational Knowledge Distillation", CVPR 2019, equations 4 to 6 with the Huber loss.

    Args:
        student, teacher: [n, size], the sizes may differ.
    """
    return F.smooth_l1_loss(_relative(_distances(_gram(student))), _relative(_distances(_gram(teacher))))


def angle_loss(student: paddle.Tensor, teacher: paddle.Tensor) -> paddle.Tensor:
    """How different the angles are that a batch's examples form, three by three, in two embeddings.

    Park et al., "Relational Knowledge Distillation", CVPR 2019, equations 7 and 8 with the Huber loss. Takes
    memory for n^3 numbers.

    Args:
        student, teacher: [n, size], the sizes may differ.
    """
    return F.smooth_l1_loss(_cosines(_gram(student)), _cosines(_gram(teacher)))


def _gram(embedding: paddle.Tensor) -> paddle.Tensor:
    """Inner products [n, n] of a batch around its mean, which distances and angles do not depend on."""
    centred = embedding - embedding.mean(axis=0, keepdim=True)
    return paddle.matmul(centred, centred, transpose_y=True)


def _squares(gram: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Squared distances [n, n] with a floor above 0 that keeps their roots' gradients finite, and what is above it."""
    norms = paddle.diagonal(gram)
    squares = norms.unsqueeze(0) + norms.unsqueeze(1) - 2 * gram
    floor = float(squares.detach().mean()) * _SAME + float(np.finfo(np.float32).tiny)
    apart = (squares > floor).astype(gram.dtype) * (1 - paddle.eye(gram.shape[0], dtype=gram.dtype))
    return paddle.clip(squares, min=floor), apart.detach()


def _distances(gram: paddle.Tensor) -> paddle.Tensor:
    squares, apart = _squares(gram)
    return paddle.sqrt(squares) * apart


def _relative(distances: paddle.Tensor) -> paddle.Tensor:
    """Distances by their mean, that of an example to itself aside."""
    count = paddle.clip((distances > 0).astype(distances.dtype).sum(), min=1.0)
    return distances * count / (distances.sum() + float(np.finfo(np.float32).tiny))


def _cosines(gram: paddle.Tensor) -> paddle.Tensor:
    """Cosines [n, n, n] of the angle at example i between the directions to j and k; 0 where there is none."""
    squares, apart = _squares(gram)
    inverse = apart / paddle.sqrt(squares)
    own = paddle.diagonal(gram).reshape([-1, 1, 1])
    products = gram.unsqueeze(0) - gram.unsqueeze(2) - gram.unsqueeze(1) + own
    return products * inverse.unsqueeze(2) * inverse.unsqueeze(1)
