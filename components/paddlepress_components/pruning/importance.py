"""How much a network needs each of its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray

from paddlepress.surgery.edits import find, parameter
from paddlepress.surgery.groups import Group, Slice, layer_of
from paddlepress.surgery.layers import float_inputs
from paddlepress.weighted import output_axis

if TYPE_CHECKING:
    from paddlepress.data import Split

Scores = dict[str, NDArray[np.float64]]


def l1(network: paddle.nn.Layer, groups: Sequence[Group]) -> Scores:
    """The sum of magnitudes of the weights that make each unit (Li et al., 2017).

    Returns:
        float64 array [units] by group name.
    """
    parts = {group.name: [part for part in _making(network, group) if _leaf(part) == "weight"] for group in groups}
    values = {part.parameter: np.abs(_values(network, part.parameter)) for found in parts.values() for part in found}
    return {group.name: _summed(group, parts[group.name], values) for group in groups}


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
    trainable = {name: tensor for name, tensor in network.named_parameters() if not tensor.stop_gradient}
    parts = {group.name: [part for part in _making(network, group) if part.parameter in trainable] for group in groups}
    sums = {part.parameter: np.zeros(()) for found in parts.values() for part in found}
    order = np.random.default_rng((seed, 0)).permutation(len(train))[: batches * batch_size]
    network.eval()
    with float_inputs(network):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            logits = network(paddle.to_tensor(train.inputs[chosen]))
            F.cross_entropy(logits, paddle.to_tensor(train.labels[chosen])).backward()
            for name in sums:
                tensor = trainable[name]
                gradient = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
                sums[name] = sums[name] + np.square(gradient.astype(np.float64) * tensor.numpy())
            network.clear_gradients()
    return {group.name: _summed(group, parts[group.name], sums) for group in groups}


def _making(network: paddle.nn.Layer, group: Group) -> list[Slice]:
    """The slices that make a group's units, not those that read them.

    On a residual path a layer may do both: then its weight belongs to the group along either axis.
    """
    parts = []
    for part in group.slices:
        owner = layer_of(part.parameter)
        if owner in group.producers:
            if _leaf(part) != "weight" or part.axis == output_axis(find(network, owner)):
                parts.append(part)
        elif owner not in group.consumers:
            parts.append(part)
    return parts


def _leaf(part: Slice) -> str:
    return part.parameter.rpartition(".")[2]


def _values(network: paddle.nn.Layer, name: str) -> NDArray[Any]:
    return np.asarray(parameter(network, name).numpy())


def _summed(group: Group, parts: Sequence[Slice], values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    scores = np.zeros(group.units, np.float64)
    for part in parts:
        array = values[part.parameter]
        others = tuple(axis for axis in range(array.ndim) if axis != part.axis)
        scores += array.sum(axis=others, dtype=np.float64)[part.indices].sum(axis=1)
    return scores


def choose(
    scores: Mapping[str, NDArray[np.float64]], ratio: float, scope: Literal["layer", "global"], round_to: int = 1
) -> dict[str, NDArray[np.int64]]:
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
        chosen[name] = np.sort(np.argsort(-group, kind="stable")[:count])
    return chosen
