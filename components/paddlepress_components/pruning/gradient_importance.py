"""How much a network needs each of its units, told from gradients of the loss on training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.rnn import RNNBase

from paddlepress.forward.outputs import tensors_of
from paddlepress.network.inserted_layers import float_inputs
from paddlepress.surgery.groups import Group
from paddlepress_components.pruning.activation_importance import Reads, watched
from paddlepress_components.pruning.weight_importance import Scores, by_unit, making, trainable

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.network.model import Model

BATCH_SIZE = 64


def taylor(model: Model, groups: Sequence[Group], train: Split, *, batches: int, seed: int) -> Scores:
    """The squared change of the loss, to first order, if a unit went: `(g * w)^2` over all its weights.

    Molchanov et al., CVPR 2019, equation 8: the squares are summed over the batches and over every
    parameter of the unit itself (weight, bias and norm), not over those of the layers that it feeds. The
    network is in evaluation mode and does not change.
    """
    learn = trainable(model.network)
    parts = {group.name: [part for part in making(group) if part.parameter in learn] for group in groups}
    sums: dict[str, Any] = {part.parameter: 0.0 for found in parts.values() for part in found}
    for _ in backward(model, train, batches, seed):
        for name in sums:
            tensor = learn[name]
            if tensor.grad is not None:
                sums[name] = sums[name] + np.square(tensor.grad.numpy().astype(np.float64) * tensor.numpy())
    arrays = {name: np.broadcast_to(np.asarray(value), learn[name].shape) for name, value in sums.items()}
    return {
        group.name: sum(
            (by_unit(arrays[part.parameter], part).sum(axis=1) for part in parts[group.name]), np.zeros(group.units)
        )
        for group in groups
    }


def output_gradient(model: Model, groups: Sequence[Group], train: Split, *, batches: int, seed: int) -> Scores:
    """The change of the loss, to first order, if a unit's output were zero.

    Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017,
    equation 8: the magnitude of the mean over an output's positions of value times gradient, averaged over
    examples. The output is what the next layers read: after norm, activation and pooling.

    Raises:
        TechniqueRefused: no layer reads the units of a group.
    """
    reads = Reads(model.network, groups)
    sums = {group.name: np.zeros(group.units) for group in groups}
    with watched(reads) as seen:
        for _ in backward(model, train, batches, seed):
            for reader, value in seen.take():
                if value.grad is not None:
                    effect = reader.by_unit((value * value.grad).detach())
                    sums[reader.group] += np.abs(effect.mean(axis=2)).mean(axis=0)
    return sums


def backward(model: Model, train: Split, batches: int, seed: int) -> Iterator[None]:
    """After each of some batches of training data, the loss's gradients are there; the network is in evaluation mode.

    Args:
        model: it does not change.
        train: where the batches of 64 come from.
        batches: how many at most.
        seed: of which examples they hold.
    """
    network = model.network
    order = np.random.default_rng((seed, 0)).permutation(len(train))[: batches * BATCH_SIZE]
    with float_inputs(network), _evaluating(network):
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            outputs = network(*tensors_of(train.inputs[chosen]))
            model.task.loss(outputs, paddle.to_tensor(train.labels[chosen])).backward()
            yield
            network.clear_gradients(set_to_zero=False)


@contextmanager
def _evaluating(network: nn.Layer) -> Iterator[None]:
    """Within it the network is in evaluation mode and yet has gradients."""
    was_training = network.training
    network.eval()
    # A recurrent layer keeps what its gradients need in training mode only; without dropout it computes the same.
    recurrent = [layer for layer in network.sublayers(include_self=True) if isinstance(layer, RNNBase)]
    dropouts = [layer.dropout for layer in recurrent]
    for layer in recurrent:
        layer.training, layer.dropout = True, 0.0
    try:
        yield
    finally:
        for layer, dropout in zip(recurrent, dropouts, strict=True):
            layer.dropout = dropout
        network.eval()
        if was_training:
            network.train()
