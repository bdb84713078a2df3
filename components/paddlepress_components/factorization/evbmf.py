"""The rank of a noisy matrix by empirical variational Bayes, without any threshold to choose.

Nakajima, Sugiyama, Babacan and Tomioka, "Global Analytic Solution of Fully-observed Variational Bayesian Matrix
Factorization", JMLR 14, 2013: a singular value is kept where the posterior of its component is not zero, which is
decided in closed form once the noise's variance is known, and that is found by a search along one line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

_TAU = 2.5129  # the paper's approximation of the zero of its equation (39), times the square root of alpha
_EXACT = 1e-6  # below this share of the largest a singular value is rounding error
_GRID = 200  # variances looked at before the search, which might else end in a minimum that is not the lowest


def evbmf_rank(matrix: NDArray[Any]) -> int:
    """How many components of a matrix stand out from its noise.

    Rows and columns of zeros, such as those of channels that died in training, are no observations of noise and
    do not count.

    Args:
        matrix: [rows, columns], finite.

    Returns:
        0 for nothing but noise, up to the smaller of its sizes.
    """
    values = np.asarray(matrix, np.float64)
    values = values[np.any(values != 0, axis=1)][:, np.any(values != 0, axis=0)]
    if values.size == 0:
        return 0
    singular = np.linalg.svd(values, compute_uv=False)
    singular = np.maximum(singular, _EXACT * singular[0])
    return _rank(singular, min(values.shape), max(values.shape))


def _rank(singular: NDArray[np.float64], small: int, large: int) -> int:
    alpha = small / large
    tau = _TAU * np.sqrt(alpha)
    edge = (1 + tau) * (1 + alpha / tau)
    # The noise is at least what is left when the most components are taken out that can be told from it.
    most = min(int(np.ceil(small / (1 + alpha))) - 1, small - 1)
    tail = np.square(singular[most:])
    lower = max(float(tail[0]) / (large * edge), float(tail.mean()) / large)
    upper = float(np.square(singular).sum()) / (small * large)
    noise = _noise(singular, large, alpha, edge, lower, upper) if lower < upper else upper
    return int(np.count_nonzero(np.square(singular) > large * noise * edge))


def _noise(singular: NDArray[np.float64], large: int, alpha: float, edge: float, lower: float, upper: float) -> float:
    """The noise's variance of the lowest free energy between two bounds, which may be many decades apart."""
    grid = np.linspace(np.log(lower), np.log(upper), _GRID)

    def energy(logarithm: float) -> float:
        return _free_energy(float(np.exp(logarithm)), singular, large, alpha, edge)

    best = int(np.argmin([energy(value) for value in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    found = minimize_scalar(energy, bounds=around, method="bounded")
    return float(np.exp(found.x if found.fun <= energy(grid[best]) else grid[best]))


def _free_energy(noise: float, singular: NDArray[np.float64], large: int, alpha: float, edge: float) -> float:
    """The free energy as a function of the noise's variance, without its constants (equation (28))."""
    x = np.square(singular) / (large * noise)
    signal, rest = x[x > edge], x[x <= edge]
    middle = signal - (1 + alpha)
    tau = 0.5 * (middle + np.sqrt(np.square(middle) - 4 * alpha))
    return float(
        np.sum(rest - np.log(rest))
        + np.sum(signal - tau)
        + np.sum(np.log((tau + 1) / signal))
        + alpha * np.sum(np.log(tau / alpha + 1))
    )
