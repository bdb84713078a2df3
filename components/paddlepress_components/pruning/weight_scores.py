"""How much a network needs each of its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.network.edits import parameter
from paddlepress.network.model import Model
from paddlepress.training.masks import values
from paddlepress_components.pruning.gradient_importance import backward
from paddlepress_components.pruning.patterns import GONE

if TYPE_CHECKING:
    from paddlepress.data import Split

Scores = dict[str, NDArray[np.float64]]


def by_magnitude(network: paddle.nn.Layer, names: Iterable[str]) -> Scores:
    """The magnitude of each weight (Han et al., 2015)."""
    return {name: scored(weight, np.abs(weight)) for name in names for weight in [values(network, name)]}


def by_gradient(model: Model, names: Iterable[str], train: Split, *, batches: int, seed: int) -> Scores:
    """The change of the loss, to first order, if a weight were zero: `|w * g|`, summed over batches.

    The connection sensitivity of Lee et al., "SNIP: Single-Shot Network Pruning Based on Connection
    Sensitivity", ICLR 2019, equation 4, without its common divisor, taken of a trained network; summed over
    batches as in Molchanov et al., CVPR 2019. The network is in evaluation mode and does not change.

    Args:
        model: the whole of it.
        names: of the weights.
        train: where the batches of 64 come from.
        batches: how many at most.
        seed: of which examples they hold.
    """
    network = model.network
    targets = {name: parameter(network, name) for name in names}
    sums: dict[str, Any] = {name: np.zeros(target.shape) for name, target in targets.items()}
    for _ in backward(model, train, batches, seed):
        for name, target in targets.items():
            if target.grad is not None:
                sums[name] += np.abs(target.grad.numpy().astype(np.float64) * target.numpy())
    return {name: scored(values(network, name), total) for name, total in sums.items()}


def scored(weight: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Scores of weights, in which those that are zero already are gone."""
    return np.where(weight != 0, scores, GONE).astype(np.float64)
