"""Truncated singular value decomposition of matrices, plain or of what they do to their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.float64]

_DAMPING = 1e-3  # added to the moments' diagonal, as a share of its mean: few examples span few directions


def spectrum(weight: NDArray[Any], moments: NDArray[Any] | None = None) -> Floats:
    """The squared singular values, the largest first: those from a rank on sum to the error of `truncate` at it."""
    weighed, _ = _weighed(weight, moments)
    found = np.asarray(np.linalg.eigvalsh(_smaller_gram(weighed)), np.float64)
    return np.maximum(found[::-1], 0.0)


def truncate(weight: NDArray[Any], rank: int, moments: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
    """The two factors of a rank whose product is the closest to a weight.

    Without moments closest in the squared error of the weight (Eckart and Young, 1936). With the inputs'
    second moments, closest in the squared error of the outputs: with `moments = S S^T` the error is that of
    `S^T weight`, whose factors are truncated instead (Chen et al., "DRONE: Data-aware Low-rank Compression for
    Large NLP Models", NeurIPS 2021; Wang et al., "SVD-LLM", ICLR 2025). Directions that the inputs do not have
    count a little, too, so that what few examples do not show is not lost.

    Each component has the same norm in both factors, so that they train alike.

    Args:
        weight: [inputs, outputs].
        rank: at least 1 and at most the smaller size.
        moments: [inputs, inputs], the sum of `x x^T` over inputs x.

    Returns:
        float64 arrays [inputs, rank] and [rank, outputs].
    """
    weighed, root = _weighed(weight, moments)
    # The singular vectors of the shorter side alone are needed, and cost less than a whole decomposition.
    _, vectors = np.linalg.eigh(_smaller_gram(weighed))
    basis = vectors[:, ::-1][:, :rank]
    rows, columns = weighed.shape
    first, second = (basis, basis.T @ weighed) if rows < columns else (weighed @ basis, basis.T)
    if root is not None:
        first = solve_triangular(root, first, trans="T", lower=True)
    sizes = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=1)
    balance = np.sqrt(np.maximum(sizes[1], 1e-30) / np.maximum(sizes[0], 1e-30))
    return first * balance, second / balance[:, None]


def _weighed(weight: NDArray[Any], moments: NDArray[Any] | None) -> tuple[Floats, Floats | None]:
    """The matrix to truncate, and what it was multiplied with from the left, transposed: a triangular root."""
    matrix = np.asarray(weight, np.float64)
    if moments is None:
        return matrix, None
    damped = np.array(moments, np.float64)
    damped[np.diag_indices_from(damped)] += max(_DAMPING * float(np.trace(damped)) / len(damped), 1e-12)
    root = np.linalg.cholesky(damped)
    return root.T @ matrix, np.asarray(root, np.float64)


def _smaller_gram(matrix: Floats) -> Floats:
    rows, columns = matrix.shape
    return matrix @ matrix.T if rows < columns else matrix.T @ matrix
