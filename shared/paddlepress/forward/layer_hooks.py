"""Hooks on layers that see inputs in the order of the layer's `forward`, whether a network names them or not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import paddle

Given = tuple[Any, ...]


def in_order(layer: paddle.nn.Layer, given: Given, named: dict[str, Any]) -> tuple[Given, dict[str, Any]]:
    """A call's arguments with those that are given by name among the others, as far as `forward` takes them by place.

    `layer(input=x)` is `layer(x)`. A call that `forward` does not take stays as it is.
    """
    if not named:
        return given, named
    try:
        call = inspect.signature(layer.forward).bind(*given, **named)
    except TypeError:
        return given, named
    return call.args, call.kwargs


def before(layer: paddle.nn.Layer, see: Callable[[Any, Given], Given | None]) -> Any:
    """Have `see(layer, inputs)` called before a layer runs; what it returns, if anything, are the inputs then.

    Returns:
        A handle with a method `remove`.
    """

    def hook(layer: Any, given: Given, named: dict[str, Any]) -> tuple[Given, dict[str, Any]]:
        given, named = in_order(layer, given, named)
        instead = see(layer, given)
        return given if instead is None else instead, named

    return layer.register_forward_pre_hook(hook, with_kwargs=True)


def after(layer: paddle.nn.Layer, see: Callable[[Any, Given, Any], Any]) -> Any:
    """Have `see(layer, inputs, output)` called after a layer ran; what it returns, if anything, is the output then.

    Returns:
        A handle with a method `remove`.
    """

    def hook(layer: Any, given: Given, named: dict[str, Any], output: Any) -> Any:
        return see(layer, in_order(layer, given, named)[0], output)

    return layer.register_forward_post_hook(hook, with_kwargs=True)


def first_name(layer: paddle.nn.Layer) -> str:
    """The name of the first argument of a layer's `forward`; empty if it has none of a name."""
    for parameter in inspect.signature(layer.forward).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            return parameter.name
        break
    return ""
