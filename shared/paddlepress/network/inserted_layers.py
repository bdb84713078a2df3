"""Layers and hooks that surgery puts into a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import nn

from paddlepress.forward.layer_hooks import Given, first_name, in_order


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

    def forward(self, input: paddle.Tensor) -> paddle.Tensor:
        return self.second(self.first(input))


def split_padding(layer: nn.Layer) -> tuple[list[int], list[int]] | str:
    """A 2-D convolution's padding along height and along width, each before and after; or `SAME` or `VALID`.

    Raises:
        TypeError: padding of another form than Paddle documents.
    """
    padding = layer._padding
    if isinstance(padding, str):
        return padding.upper()
    if isinstance(padding, int):
        return [padding] * 2, [padding] * 2
    flat = [int(value) for value in padding] if all(isinstance(value, int) for value in padding) else []
    if len(flat) == 2:
        return [flat[0]] * 2, [flat[1]] * 2
    if len(flat) == 4:
        return flat[:2], flat[2:]
    if len(padding) == 4 and [list(pair) for pair in padding[:2]] == [[0, 0], [0, 0]]:
        return list(padding[2]), list(padding[3])
    raise TypeError(f"its padding is {padding!r}")


class LowRankConv2D(nn.Layer):
    """A 2-D convolution as a chain of cheaper ones, with the bias in the last.

    ============= ========================================================================================
    method        chain, by ranks
    ============= ========================================================================================
    `channel-svd` `first` kxk to r channels, `last` 1x1
    `spatial`     `vertical` kx1 to r channels, `horizontal` 1xk
    `tucker2`     `first` 1x1 to r1 channels, `core` kxk to r2 channels, `last` 1x1
    `cp`          `first` 1x1 to r channels, depthwise `vertical` kx1 and `horizontal` 1xk, `last` 1x1
    ============= ========================================================================================

    Args:
        layer: the convolution that it stands for: its sizes are taken, not its weights.
        method: as above.
        ranks: (r,), or (r1, r2) for `tucker2`.

    Raises:
        TypeError: the layer is none that can be split so.
        ValueError: ranks that do not fit it.
    """

    def __init__(self, layer: nn.Layer, method: str, ranks: tuple[int, ...]) -> None:
        from paddlepress.network.architectures.layers import Conv2D

        super().__init__()
        self.check(layer)
        most = self.largest_ranks(layer, method)
        if len(ranks) != len(most) or not all(1 <= rank <= limit for rank, limit in zip(ranks, most, strict=True)):
            raise ValueError(f"ranks {list(ranks)} are not between 1 and {list(most)}, those of method {method!r}")
        inputs, outputs = int(layer._in_channels), int(layer._out_channels)
        height, width = (int(size) for size in layer._kernel_size)
        (down, right), (tall, wide) = _pair(layer._stride), _pair(layer._dilation)
        padding = split_padding(layer)
        above, beside = ([*padding[0], 0, 0], [0, 0, *padding[1]]) if isinstance(padding, tuple) else (padding, padding)
        whole = [*padding[0], *padding[1]] if isinstance(padding, tuple) else padding

        def conv(channels: int, filters: int, kernel: tuple[int, int] = (1, 1), **settings: Any) -> nn.Layer:
            return Conv2D(channels, filters, kernel, **{"bias_attr": False, **settings})

        last: dict[str, Any] = {} if layer.bias is None else {"bias_attr": None}
        vertical: dict[str, Any] = {"stride": (down, 1), "padding": above, "dilation": (tall, 1)}
        horizontal: dict[str, Any] = {"stride": (1, right), "padding": beside, "dilation": (1, wide)}
        square: dict[str, Any] = {"stride": (down, right), "padding": whole, "dilation": (tall, wide)}
        rank = ranks[0]
        if method == "channel-svd":
            self.first = conv(inputs, rank, (height, width), **square)
        elif method == "spatial":
            self.vertical = conv(inputs, rank, (height, 1), **vertical)
            self.horizontal = conv(rank, outputs, (1, width), **horizontal, **last)
        elif method == "tucker2":
            self.first = conv(inputs, rank)
            self.core = conv(rank, ranks[1], (height, width), **square)
        else:
            self.first = conv(inputs, rank)
            self.vertical = conv(rank, rank, (height, 1), groups=rank, **vertical)
            self.horizontal = conv(rank, rank, (1, width), groups=rank, **horizontal)
        if method != "spatial":
            self.last = conv(ranks[-1], outputs, **last)

    @staticmethod
    def largest_ranks(layer: nn.Layer, method: str) -> tuple[int, ...]:
        """The ranks from which on a chain computes all that a convolution can."""
        outputs, inputs, height, width = layer.weight.shape
        return {
            "channel-svd": (min(outputs, inputs * height * width),),
            "spatial": (min(inputs * height, outputs * width),),
            "tucker2": (inputs, outputs),
            "cp": (layer.weight.size // max(layer.weight.shape),),
        }[method]

    @staticmethod
    def check(layer: nn.Layer) -> None:
        """Fail unless a layer is a convolution that can be split into a chain.

        Raises:
            TypeError: it is not, with the reason.
        """
        if not isinstance(layer, nn.Conv2D):
            raise TypeError(f"it is a {type(layer).__name__}, not a Conv2D")
        if layer._groups != 1:
            raise TypeError(f"it has {layer._groups} groups")
        if layer._padding_mode != "zeros" or layer._data_format != "NCHW":
            raise TypeError(f"it pads with {layer._padding_mode} in the order {layer._data_format}")
        split_padding(layer)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


class Bypass(nn.Layer):
    """What stands where a layer was removed: it gives the first thing that it is given, such as `x` of `(x, mask)`.

    Args:
        layer: the one that was removed, which may be given its inputs by name.
    """

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self._first = first_name(layer)

    def forward(self, *given: Any, **named: Any) -> Any:
        return given[0] if given else named[self._first]


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

    def __call__(self, layer: nn.Layer, given: Given, named: dict[str, Any]) -> tuple[Given, dict[str, Any]]:
        inputs, named = in_order(layer, given, named)
        return (self.rounded(inputs[0], layer.training), *inputs[1:]) if self.active else inputs, named


class _QuantizedOutput(_Rounding):
    """A forward post-hook that rounds a layer's output."""

    def __call__(self, layer: nn.Layer, inputs: tuple[paddle.Tensor, ...], output: paddle.Tensor) -> paddle.Tensor:
        return self.rounded(output, layer.training) if self.active else output


class _QuantizedValues(_Rounding):
    """A forward pre-hook that rounds what a layer is given in place, for others that read it later too.

    Where gradients are computed, which need the values as they were, only the layer itself sees them rounded.
    """

    def __call__(self, layer: nn.Layer, given: Given, named: dict[str, Any]) -> tuple[Given, dict[str, Any]]:
        inputs, named = in_order(layer, given, named)
        if not self.active:
            return inputs, named
        rounded = self.rounded(inputs[0], layer.training)
        if paddle.is_grad_enabled() and not inputs[0].stop_gradient:
            return (rounded, *inputs[1:]), named
        paddle.assign(rounded, output=inputs[0])
        return inputs, named


def simulate_quantized_input(layer: nn.Layer, scale: float, zero_point: int) -> None:
    """Have a layer see its input as the 8-bit integers of deployment would give it."""
    remove_quantized_input(layer)
    layer.register_forward_pre_hook(_QuantizedInput(scale, zero_point), with_kwargs=True)


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


def simulate_quantized_values(layer: nn.Layer, scale: float, zero_point: int) -> None:
    """Have a layer, and all that read its input after it, see that as the 8-bit integers of deployment would give it.

    Only for inputs that the network computes itself: they are changed.
    """
    hooks = layer._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _QuantizedValues)]:
        del hooks[key]
    # Before others, which may hand on a tensor of their own.
    layer.register_forward_pre_hook(_QuantizedValues(scale, zero_point), prepend=True, with_kwargs=True)


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
