"""Which weights to prune by their magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paddlepress_components.pruning.patterns import GONE, free

Weights = Mapping[str, NDArray[Any]]
Masks = dict[str, NDArray[np.bool_]]


def keep(weights: Weights, sparsity: float, scope: Literal["global", "layer"]) -> Masks:
    """Masks of the weights that stay: all but the `sparsity` smallest in magnitude.

    Exactly `round(sparsity * count)` weights go, or as many as are zero already if that is more.

    Args:
        weights: arrays of any shapes.
        sparsity: share to prune, 0 to 1.
        scope: `global` ranks the weights of all arrays together, `layer` those of each array.

    Returns:
        Boolean arrays of the weights' shapes.
    """
    return free(
        {name: np.where(weight != 0, np.abs(weight), GONE) for name, weight in weights.items()}, sparsity, scope
    )


def sparsity(weights: Weights) -> float:
    """The share of zeros among all weights together."""
    total = sum(weight.size for weight in weights.values())
    return sum(int(np.count_nonzero(weight == 0)) for weight in weights.values()) / total


def share_below(weights: Weights, threshold: float) -> float:
    """The share of weights whose magnitude is less than a threshold."""
    total = sum(weight.size for weight in weights.values())
    return sum(int(np.count_nonzero(np.abs(weight) < threshold)) for weight in weights.values()) / total


def cubic(step: int, ramp: int, first: float, last: float) -> float:
    """The sparsity at a step of the gradual schedule (Zhu and Gupta, 2017, equation 1).

    Args:
        step: counted from 0; from `ramp` on the sparsity is `last`.
        ramp: steps that the way from `first` to `last` takes.
    """
    left = max(0.0, 1.0 - step / max(1, ramp))
    return last + (first - last) * left**3
