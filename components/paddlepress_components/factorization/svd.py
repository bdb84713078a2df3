"""Truncated singular value decomposition of matrices, plain or of what they do to their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Factors = tuple[NDArray[np.float64], NDArray[np.float64]]

_DAMPING = 1e-6  # added to the moments' diagonal, as a share of its mean: unused inputs have none


def singular_values(weight: NDArray[Any], moments: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """The singular values whose squares, from a rank on, are the error of `truncate` at that rank."""
    return np.asarray(np.linalg.svd(_weighed(weight, moments)[0], compute_uv=False), np.float64)


def truncate(weight: NDArray[Any], rank: int, moments: NDArray[Any] | None = None) -> Factors:
    """The two factors of a rank whose product is the closest to a weight.

    Without moments closest in the squared error of the weight (Eckart and Young, 1936). With the inputs'
    second moments, closest in the squared error of the outputs: with `moments = S S^T` the error is that of
    `S^T weight`, whose factors are truncated instead (Chen et al., "DRONE: Data-aware Low-rank Compression for
    Large NLP Models", NeurIPS 2021; Wang et al., "SVD-LLM", ICLR 2025).

    Each factor takes the square root of the singular values, so that both train alike.

    Args:
        weight: [inputs, outputs].
        rank: at least 1.
        moments: [inputs, inputs], the sum of `x x^T` over inputs x.

    Returns:
        float64 arrays [inputs, rank] and [rank, outputs].
    """
    weighed, root = _weighed(weight, moments)
    left, singular, right = np.linalg.svd(weighed, full_matrices=False)
    scale = np.sqrt(singular[:rank])
    first = left[:, :rank] * scale
    if root is not None:
        first = np.linalg.solve(root.T, first)
        # Undoing the inputs' scale leaves the factors of different size.
        balance = np.linalg.norm(scale[:, None] * right[:rank]) / max(float(np.linalg.norm(first)), 1e-30)
        return first * np.sqrt(balance), scale[:, None] * right[:rank] / np.sqrt(balance)
    return first, scale[:, None] * right[:rank]


def _weighed(
    weight: NDArray[Any], moments: NDArray[Any] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    matrix = np.asarray(weight, np.float64)
    if moments is None:
        return matrix, None
    damped = np.asarray(moments, np.float64) + np.eye(len(moments)) * max(
        _DAMPING * float(np.trace(moments)) / len(moments), 1e-12
    )
    root = np.linalg.cholesky(damped)
    return root.T @ matrix, np.asarray(root, np.float64)
