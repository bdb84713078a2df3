"""What the layers inside a network give, seen through hooks: any network, nothing in it changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import paddle

from paddlepress.core.errors import UnknownName
from paddlepress.forward.outputs import tensors_of
from paddlepress.spec.tensors import Inputs


@dataclass(frozen=True)
class Feature:
    """What a layer gives for one example.

    Attributes:
        layer: the layer's dotted name.
        shape: without the batch: [channels, height, width] of a map, [steps, size] of a sequence, [size] of a
            vector.
    """

    layer: str
    shape: tuple[int, ...]

    @property
    def is_map(self) -> bool:
        """Whether it has channels first and a place behind them: a picture, more than one pixel large."""
        return len(self.shape) > 2 and max(self.shape[1:]) > 1

    @property
    def places(self) -> tuple[int, ...]:
        """Where in the example it says something: height and width, steps; empty for a vector."""
        return self.shape[1:] if len(self.shape) > 2 else self.shape[:-1]

    @property
    def channels(self) -> int:
        """How many numbers it has for each place."""
        return self.shape[0] if len(self.shape) > 2 else self.shape[-1]


class Capture:
    """Keeps what some layers gave in the network's latest forward pass; a context manager.

    Args:
        network: the hooks are on its layers inside the `with` block only.
        layers: dotted names.
        training: keep nothing in evaluation mode, in which whole splits go through the network.

    Raises:
        UnknownName: there is no such layer.
    """

    def __init__(self, network: paddle.nn.Layer, layers: Iterable[str], training: bool = False) -> None:
        found = dict(network.named_sublayers())
        self._layers = {name: found[name] for name in layers if _known(name, found)}
        self._training = training
        self._hooks: list[Any] = []
        self.outputs: dict[str, Any] = {}

    def __enter__(self) -> Capture:
        for name, layer in self._layers.items():
            self._hooks.append(layer.register_forward_post_hook(self._keeper(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.outputs.clear()

    def _keeper(self, name: str) -> Any:
        def keep(layer: paddle.nn.Layer, inputs: Any, output: Any) -> None:
            if layer.training or not self._training:
                self.outputs.pop(name, None)  # a layer that is used twice counts where it was used last
                self.outputs[name] = output

        return keep


def _known(name: str, found: Iterable[str]) -> bool:
    if name not in found:
        raise UnknownName("layer", name, found)
    return True


def features(network: paddle.nn.Layer, inputs: Inputs) -> list[Feature]:
    """The features inside a network, in the order in which they are computed; what it gives itself is none.

    Args:
        network: any; its mode is restored.
        inputs: some examples [n, *shape].
    """
    names = [name for name, _ in network.named_sublayers()]
    was_training = network.training
    network.eval()
    try:
        with Capture(network, names) as captured, paddle.no_grad():
            result = network(*tensors_of(inputs))
            return [
                Feature(name, tuple(value.shape[1:]))
                for name, value in captured.outputs.items()
                if _is_feature(value, len(inputs)) and list(value.shape) != list(result.shape)
            ]
    finally:
        if was_training:
            network.train()


def _is_feature(value: Any, count: int) -> bool:
    """Layers may give anything, such as a recurrent layer's output with its states."""
    return (
        isinstance(value, paddle.Tensor)
        and len(value.shape) in (2, 3, 4, 5)
        and value.shape[0] == count
        and value.is_floating_point()
    )


def named(found: list[Feature], layer: str, where: str) -> Feature:
    """The feature of a layer.

    Args:
        found: what `features` gave.
        layer: the layer's name.
        where: the field that named it, for the message.

    Raises:
        UnknownName: there is none; the message lists the layers that have one.
    """
    for feature in found:
        if feature.layer == layer:
            return feature
    raise UnknownName("layer", layer, (feature.layer for feature in found), where)


def stages(found: list[Feature]) -> dict[tuple[int, ...], Feature]:
    """For each size of feature maps, the last map of this size: where a network is about to shrink the picture."""
    return {feature.places: feature for feature in found if feature.is_map}


def embedding(found: list[Feature]) -> Feature | None:
    """The last feature before a network's outputs."""
    return found[-1] if found else None
