"""Layers and hooks that surgery puts into a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import nn


class LowRankLinear(nn.Layer):
    """A dense layer as the product of two: `x @ first @ second + bias`.

    Args:
        in_features, out_features: of the layer that it stands for.
        rank: the width between the factors.
        bias: whether the second factor has one.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool) -> None:
        super().__init__()
        if not 1 <= rank <= min(in_features, out_features):
            raise ValueError(f"rank {rank} is not between 1 and {min(in_features, out_features)}")
        self.first = nn.Linear(in_features, rank, bias_attr=False)
        self.second = nn.Linear(rank, out_features, bias_attr=None if bias else False)

    @classmethod
    def in_place_of(cls, layer: nn.Layer, rank: int) -> LowRankLinear:
        """Factors, with fresh weights, for a dense layer.

        Raises:
            TypeError: the layer is not dense.
            ValueError: the rank does not fit.
        """
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"it is a {type(layer).__name__}, not a Linear")
        rows, columns = layer.weight.shape
        return cls(rows, columns, rank, layer.bias is not None)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.second(self.first(x))


class _Rounding:
    """Rounds activations to the unsigned 8-bit grid that they will be on when deployed."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self.scale = scale
        self.zero_point = zero_point
        self.active = True

    def rounded(self, x: paddle.Tensor, training: bool) -> paddle.Tensor:
        codes = paddle.clip(paddle.round(x / self.scale) + self.zero_point, 0, 255)
        rounded = (codes - self.zero_point) * self.scale
        if training and not x.stop_gradient:
            # Rounding has no gradient: in training it is passed straight through, inside the range.
            low, high = -self.zero_point * self.scale, (255 - self.zero_point) * self.scale
            inside = paddle.clip(x, low, high)
            rounded = inside + (rounded - inside).detach()
        return rounded


class _QuantizedInput(_Rounding):
    """A forward pre-hook that rounds a layer's input."""

    def __call__(self, layer: nn.Layer, inputs: tuple[paddle.Tensor, ...]) -> tuple[paddle.Tensor, ...]:
        return (self.rounded(inputs[0], layer.training), *inputs[1:]) if self.active else inputs


class _QuantizedOutput(_Rounding):
    """A forward post-hook that rounds a layer's output."""

    def __call__(self, layer: nn.Layer, inputs: tuple[paddle.Tensor, ...], output: paddle.Tensor) -> paddle.Tensor:
        return self.rounded(output, layer.training) if self.active else output


def simulate_quantized_input(layer: nn.Layer, scale: float, zero_point: int) -> None:
    """Have a layer see its input as the 8-bit integers of deployment would give it."""
    remove_quantized_input(layer)
    layer.register_forward_pre_hook(_QuantizedInput(scale, zero_point))


def remove_quantized_input(layer: nn.Layer) -> None:
    """Undo `simulate_quantized_input`."""
    hooks = layer._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _QuantizedInput)]:
        del hooks[key]


def simulate_quantized_output(layer: nn.Layer, scale: float, zero_point: int) -> None:
    """Have the readers of a layer's output see it as the 8-bit integers of deployment would give it."""
    hooks = layer._forward_post_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _QuantizedOutput)]:
        del hooks[key]
    layer.register_forward_post_hook(_QuantizedOutput(scale, zero_point))


@contextmanager
def float_inputs(network: nn.Layer) -> Iterator[None]:
    """Within it no input or output of the network's layers is rounded."""
    hooks = [
        hook
        for layer in network.sublayers(include_self=True)
        for hook in (*layer._forward_pre_hooks.values(), *layer._forward_post_hooks.values())
        if isinstance(hook, _Rounding)
    ]
    before = [hook.active for hook in hooks]
    for hook in hooks:
        hook.active = False
    try:
        yield
    finally:
        for hook, active in zip(hooks, before, strict=True):
            hook.active = active
