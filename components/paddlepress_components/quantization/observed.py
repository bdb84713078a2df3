"""Layers one at a time: when they run, what they receive, and what they would give with another weight."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn.layer.conv import _ConvNd
from paddle.nn.layer.norm import _BatchNormBase

from paddlepress.forward.layer_hooks import before

_TRANSPOSED = (nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose)


@dataclass(frozen=True)
class Course:
    """How an example goes through a network.

    Attributes:
        calls: how often each layer runs, by name, in the order in which they first run.
        largest: how many numbers the largest of their outputs has.
        norms: the batch normalization that reads a layer's output directly, by the layer's name.
    """

    calls: dict[str, int]
    largest: int
    norms: dict[str, nn.Layer]


def course(network: nn.Layer, layers: Mapping[str, nn.Layer], example: NDArray[Any]) -> Course:
    """Watch one example go through a network.

    Args:
        network: run in evaluation mode.
        layers: the layers to watch, by name.
        example: float32 array [1, *shape].
    """
    calls: dict[str, int] = {}
    outputs: dict[str, list[Any]] = {}
    norms: dict[str, nn.Layer] = {}

    def ran(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(layer: Any, received: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            outputs.setdefault(name, []).append(output)

        return hook

    def normalizes(norm: Any, received: Any) -> None:
        norms.update({name: norm for name, found in outputs.items() if any(one is received[0] for one in found)})

    hooks = [layer.register_forward_post_hook(ran(name)) for name, layer in layers.items()]
    hooks += [before(layer, normalizes) for layer in network.sublayers() if isinstance(layer, _BatchNormBase)]
    with _evaluating(network, hooks):
        network(paddle.to_tensor(example))
    largest = max(
        (int(one.size) for found in outputs.values() for one in found if isinstance(one, paddle.Tensor)), default=0
    )
    return Course(calls, largest, norms)


class _Enough(Exception):
    """What is wanted of a forward pass has been seen."""


def received(
    network: nn.Layer, layer: nn.Layer, calls: int, inputs: NDArray[Any], batch_size: int = 128
) -> Iterator[paddle.Tensor]:
    """What a layer receives, rounded if its input is.

    Args:
        network: run in evaluation mode, no further than to this layer.
        layer: one of its layers.
        calls: how often it runs for one batch.
        inputs: the network's, float32 array [n, *shape].
        batch_size: how many go through the network at once.

    Yields:
        One tensor for each call and batch.
    """
    seen: list[paddle.Tensor] = []

    def hook(layer: Any, given: Any) -> None:
        seen.append(given[0])
        if len(seen) == calls:
            raise _Enough

    for start in range(0, len(inputs), batch_size):
        with _evaluating(network, [before(layer, hook)]), suppress(_Enough):
            network(paddle.to_tensor(inputs[start : start + batch_size]))
        yield from seen
        seen.clear()


@contextmanager
def _evaluating(network: nn.Layer, hooks: list[Any]) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        with paddle.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()
        if was_training:
            network.train()


def with_weight(layer: nn.Layer, weight: paddle.Tensor) -> Callable[[paddle.Tensor], paddle.Tensor]:
    """A convolution or dense layer as a function of its input, with another weight and without hooks.

    Gradients flow to the weight.
    """
    twin = _twin(layer, weight, layer.bias)
    return lambda x: twin.forward(x)


def patches(layer: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """What the weights of one output see of an input.

    A convolution is turned into one that copies: it has for each input channel and each place of the kernel an
    output that is the value there. So its stride, padding, dilation and layout count as they do in the layer.

    Args:
        layer: a convolution of any kind, or a dense layer.
        x: its input.

    Returns:
        Tensor [positions, input channels, places of the kernel]; a dense layer's kernel has one place.
    """
    if not isinstance(layer, _ConvNd):
        return x.reshape([-1, x.shape[-1], 1])
    kernel = layer.weight.shape[2:]
    places = int(np.prod(kernel))
    channels = input_channels(layer)
    copying = np.eye(places, dtype=np.float32).reshape([places, *kernel])
    if is_transposed(layer):
        weight = np.broadcast_to(copying, (channels, places, *kernel))
    else:
        weight = np.broadcast_to(copying[:, None], (channels, places, 1, *kernel)).reshape([-1, 1, *kernel])
    twin = _twin(layer, paddle.to_tensor(np.ascontiguousarray(weight)), None)
    twin._groups = channels
    found = twin.forward(x)
    if layer._channel_dim == 1:
        found = paddle.moveaxis(found, 1, -1)
    return found.reshape([-1, channels, places])


def output_mean(layer: nn.Layer, output: paddle.Tensor) -> paddle.Tensor:
    """The mean of a layer's output over everything but its channels: tensor [channels]."""
    channels = layer._channel_dim if isinstance(layer, _ConvNd) else output.ndim - 1
    return output.mean(axis=[axis for axis in range(output.ndim) if axis != channels])


def is_transposed(layer: nn.Layer) -> bool:
    """Whether a layer is a transposed convolution."""
    return isinstance(layer, _TRANSPOSED)


def input_channels(layer: nn.Layer) -> int:
    """How many channels, or features, a layer reads."""
    if not isinstance(layer, _ConvNd) or is_transposed(layer):
        return int(layer.weight.shape[0])
    return int(layer.weight.shape[1] * layer._groups)


def _twin(layer: nn.Layer, weight: paddle.Tensor, bias: paddle.Tensor | None) -> nn.Layer:
    twin = copy.copy(layer)
    twin._parameters = {"weight": weight, "bias": bias}
    return twin
