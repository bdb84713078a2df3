"""How much a network needs each of its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray
from paddlepress.surgery.edits import parameter
from paddlepress.surgery.layers import float_inputs

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.surgery.graph import Group

Scores = dict[str, NDArray[np.float64]]


def l1(network: paddle.nn.Layer, groups: Sequence[Group]) -> Scores:
    """The sum of magnitudes of the weights that make each unit (Li et al., 2017).

    Returns:
        float64 array [units] by group name.
    """

    def of(name: str) -> NDArray[Any]:
        return np.asarray(np.abs(parameter(network, name).numpy()))

    return {group.name: _summed(group, [f"{layer}.weight" for layer in group.producers], of) for group in groups}


def taylor(
    network: paddle.nn.Layer, groups: Sequence[Group], train: Split, *, batches: int, seed: int, batch_size: int = 64
) -> Scores:
    """The squared change of the loss, to first order, if a unit went: `(g * w)^2` over all its weights.

    Molchanov et al., 2019, equation 8: the squares are summed over the batches and over every parameter
    of the unit itself (weight, bias and norm), not over those of the layers that it feeds. The network
    is in evaluation mode and does not change.

    Returns:
        float64 array [units] by group name.
    """
    names = {
        group.name: [s.parameter for s in group.slices if s.parameter.rpartition(".")[0] not in group.consumers]
        for group in groups
    }
    wanted = {name for parameters in names.values() for name in parameters}
    tensors = {name: tensor for name, tensor in network.named_parameters() if name in wanted}
    sums = {name: np.zeros(tuple(tensor.shape), np.float64) for name, tensor in tensors.items()}
    order = np.random.default_rng((seed, 0)).permutation(len(train))[: batches * batch_size]
    network.eval()
    with float_inputs(network):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            logits = network(paddle.to_tensor(train.inputs[chosen]))
            F.cross_entropy(logits, paddle.to_tensor(train.labels[chosen])).backward()
            for name, tensor in tensors.items():
                if tensor.grad is not None:
                    sums[name] += np.square(tensor.grad.numpy().astype(np.float64) * tensor.numpy())
            network.clear_gradients()
    return {
        group.name: _summed(group, [name for name in names[group.name] if name in sums], sums.__getitem__)
        for group in groups
    }


def _summed(group: Group, parameters: Sequence[str], values: Any) -> NDArray[np.float64]:
    scores = np.zeros(group.units, np.float64)
    for part in group.slices:
        if part.parameter in parameters:
            array = values(part.parameter)
            others = tuple(axis for axis in range(array.ndim) if axis != part.axis)
            scores += array.sum(axis=others, dtype=np.float64)[part.indices].reshape(group.units, -1).sum(axis=1)
    return scores


def choose(
    scores: Mapping[str, NDArray[np.float64]], ratio: float, scope: Literal["layer", "global"], round_to: int = 1
) -> dict[str, list[int]]:
    """Which units each group keeps, in their order; at least `round_to` of each, or all it has.

    Args:
        scores: importance of each unit, by group.
        ratio: share to remove, of each group or, where `scope` is global, of all together. Global scores
            are divided by their group's mean: layers' magnitudes differ more than their filters' do.
        round_to: the number kept is rounded to the next multiple of this above.
    """
    counts = {name: round(len(group) * (1 - ratio)) for name, group in scores.items()}
    if scope == "global":
        relative = {name: group / max(float(group.mean()), 1e-30) for name, group in scores.items()}
        together = np.sort(np.concatenate(list(relative.values())))
        removed = min(round(ratio * together.size), together.size - 1)
        counts = {name: int(np.count_nonzero(group >= together[removed])) for name, group in relative.items()}
    chosen = {}
    for name, group in scores.items():
        count = min(len(group), max(1, -(-counts[name] // round_to)) * round_to)
        best = np.argsort(-group, kind="stable")[:count]
        chosen[name] = sorted(int(unit) for unit in best)
    return chosen
