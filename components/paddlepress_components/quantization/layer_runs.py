"""When layers run, and what they receive, seen while examples go through a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import nn
from paddle.nn.layer.norm import _BatchNormBase

from paddlepress.forward.layer_hooks import before
from paddlepress.forward.outputs import tensors_of
from paddlepress.spec.tensors import Inputs


@dataclass(frozen=True)
class ForwardTrace:
    """How an example goes through a network.

    Attributes:
        calls: how often each layer runs, by name, in the order in which they first run.
        largest: how many numbers the largest of their outputs has.
        norms: the batch normalization that reads a layer's output directly, by the layer's name.
    """

    calls: dict[str, int]
    largest: int
    norms: dict[str, nn.Layer]


def trace_forward(network: nn.Layer, layers: Mapping[str, nn.Layer], example: Inputs) -> ForwardTrace:
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
        network(*tensors_of(example))
    largest = max(
        (int(one.size) for found in outputs.values() for one in found if isinstance(one, paddle.Tensor)), default=0
    )
    return ForwardTrace(calls, largest, norms)


class _Enough(Exception):
    """What is wanted of a forward pass has been seen."""


def layer_inputs(
    network: nn.Layer, layer: nn.Layer, calls: int, inputs: Inputs, batch_size: int = 128
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
            network(*tensors_of(inputs[start : start + batch_size]))
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
