"""Truncated singular value decomposition of matrices, plain or of what they do to their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.float64]

_DAMPING = 1e-3  # added to the moments' diagonal, as a share of its mean: few examples span few directions


class Decomposition:
    """A weight to truncate, whose Gram matrix is computed once: for the spectrum and for factors of any rank.

    Without moments factors are closest in the squared error of the weight (Eckart and Young, 1936). With the inputs'
    second moments, closest in the squared error of the outputs: with `moments = S S^T` the error is that of
    `S^T weight`, whose factors are truncated instead (Chen et al., "DRONE: Data-aware Low-rank Compression for
    Large NLP Models", NeurIPS 2021; Wang et al., "SVD-LLM", ICLR 2025). Directions that the inputs do not have
    count a little, too, so that what few examples do not show is not lost.
    """

    def __init__(self, weight: NDArray[Any], moments: NDArray[Any] | None = None) -> None:
        """
        Args:
            weight: [inputs, outputs].
            moments: [inputs, inputs], the sum of `x x^T` over inputs x.
        """
        self.weight = weight
        self._weighed, self._root = _weighed(weight, moments)
        self._gram = _smaller_gram(self._weighed)

    def spectrum(self) -> Floats:
        """The squared singular values, the largest first: those from a rank on sum to the error of `truncate` at it."""
        found = np.asarray(np.linalg.eigvalsh(self._gram), np.float64)
        return np.maximum(found[::-1], 0.0)

    def truncate(self, rank: int) -> tuple[Floats, Floats]:
        """The two factors of a rank whose product is the closest to the weight.

        Each component has the same norm in both factors, so that they train alike.

        Args:
            rank: at least 1 and at most the smaller size.

        Returns:
            float64 arrays [inputs, rank] and [rank, outputs].
        """
        # The singular vectors of the shorter side alone are needed, and cost less than a whole decomposition.
        _, vectors = np.linalg.eigh(self._gram)
        basis = vectors[:, ::-1][:, :rank]
        rows, columns = self._weighed.shape
        first, second = (basis, basis.T @ self._weighed) if rows < columns else (self._weighed @ basis, basis.T)
        if self._root is not None:
            first = solve_triangular(self._root, first, trans="T", lower=True)
        sizes = np.linalg.norm(first, axis=0), np.linalg.norm(second, axis=1)
        balance = np.sqrt(np.maximum(sizes[1], 1e-30) / np.maximum(sizes[0], 1e-30))
        return first * balance, second / balance[:, None]


def spectrum(weight: NDArray[Any]) -> Floats:
    """See `Decomposition.spectrum`."""
    return Decomposition(weight).spectrum()


def truncate(weight: NDArray[Any], rank: int, moments: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
    """See `Decomposition.truncate`."""
    return Decomposition(weight, moments).truncate(rank)


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
