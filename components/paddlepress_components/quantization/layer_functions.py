"""A convolution or dense layer as a function: with another weight, and what its weights see of an input."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.conv import _ConvNd

_TRANSPOSED = (nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose)


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
