"""Layers that can be taken out of a network whole, because what they give has the shape of what they are given.

Which ones can is seen from one forward pass, so that it works on networks that nobody prepared for it: a
layer that carries weights, is called once, and gives one tensor of the shape and dtype of its first input.
Residual blocks and the layers of a Transformer are such, and so are single convolutions as wide as their
input. A layer that only passes what it is given through several such layers one after another, like a stage
of blocks, is looked into; any other is taken as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from paddlepress.core.errors import UsageError
from paddlepress.forward.layer_hooks import after
from paddlepress.forward.outputs import tensors_of
from paddlepress.network.edits import Remove, find, replace_everywhere
from paddlepress.network.inserted_layers import Bypass
from paddlepress.spec.tensors import Inputs
from paddlepress.surgery.program import evaluating

if TYPE_CHECKING:
    from paddlepress.network.model import Model


@dataclass(frozen=True)
class Removable:
    """A layer that can be taken out.

    Attributes:
        name: dotted.
        layers: how many layers with a weight of two or more dimensions of their own it holds, itself included.
    """

    name: str
    layers: int


@dataclass(frozen=True)
class _Call:
    """What a layer was called with first, and what it gave."""

    given: Any
    gave: Any

    @property
    def fits(self) -> bool:
        given, gave = self.given, self.gave
        tensors = isinstance(given, paddle.Tensor) and isinstance(gave, paddle.Tensor)
        return tensors and list(given.shape) == list(gave.shape) and given.dtype == gave.dtype


def removable(model: Model, inputs: Inputs) -> tuple[list[Removable], list[str]]:
    """The layers that can be taken out one by one, and what was looked at.

    Args:
        model: it does not change.
        inputs: some examples, float32 [n, *shape]; two are enough.

    Returns:
        The removable layers in the order of the forward pass, none inside another; and each layer with weights
        that was looked at and can't be removed, with the shapes that it was given and gave.
    """
    network = model.network
    with evaluating(network), paddle.no_grad():
        search = _Search(network, _watch(network, inputs))
        search.descend("")
        found = [name for name in search.found if _runs_without(network, name, inputs)]
    stuck = [f"{name} (the network does not run without it)" for name in search.found if name not in found]
    return [Removable(name, weighty(find(network, name))) for name in found], search.looked + stuck


def weighty(layer: paddle.nn.Layer) -> int:
    """How many of a layer's sublayers, itself included, have a weight of two or more dimensions of their own."""
    return sum(
        any(value is not None and len(value.shape) > 1 for value in part._parameters.values())
        for part in layer.sublayers(include_self=True)
    )


def remove(model: Model, name: str) -> Model:
    """Take a layer out, in place.

    Raises:
        ArtifactError: there is no such layer.
    """
    edit = Remove(layer=name)
    edit.replay(model.network)
    left = dict(model.network.named_parameters())
    scales = {parameter: scale for parameter, scale in model.scales.items() if parameter in left}
    return replace(model, scales=scales).with_edits(edit)


def holding(network: paddle.nn.Layer, patterns: Iterable[str]) -> set[str]:
    """The layers that match a pattern, and those that hold one which does.

    Args:
        network: the whole of it.
        patterns: shell patterns over layers' names, such as `stage1.*`.

    Raises:
        UsageError: a pattern that matches no layer; the message lists the layers with weights.
    """
    names = [name for name, _ in network.named_sublayers()]
    found: set[str] = set()
    for pattern in patterns:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            known = ", ".join(name for name, layer in network.named_sublayers() if weighty(layer))
            raise UsageError(f"exclude: {pattern!r} matches no layer. Layers: {known or 'none'}")
        found.update(name for name in names for one in matched if f"{one}.".startswith(f"{name}."))
    return found


@contextmanager
def without(network: paddle.nn.Layer, name: str) -> Iterator[None]:
    """Within it a layer is bypassed."""
    layer = find(network, name)
    bypass = Bypass(layer)
    replace_everywhere(network, layer, bypass)
    try:
        yield
    finally:
        replace_everywhere(network, bypass, layer)


def _watch(network: paddle.nn.Layer, inputs: Inputs) -> dict[str, list[_Call]]:
    """The calls of every layer in one forward pass."""
    calls: dict[str, list[_Call]] = {}

    def watch(name: str) -> Any:
        def note(layer: paddle.nn.Layer, given: tuple[Any, ...], gave: Any) -> None:
            calls.setdefault(name, []).append(_Call(given[0] if given else None, gave))

        return note

    hooks = [after(layer, watch(name)) for name, layer in network.named_sublayers()]
    try:
        network(*tensors_of(inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _runs_without(network: paddle.nn.Layer, name: str, inputs: Inputs) -> bool:
    """Whether the network gives finite numbers when a layer is bypassed."""
    try:
        with without(network, name):
            return bool(np.isfinite(network(*tensors_of(inputs)).numpy()).all())
    except Exception:  # whatever a forward pass raises that needs the layer's own attributes
        return False


class _Search:
    """Goes through a network from the outside in."""

    def __init__(self, network: paddle.nn.Layer, calls: dict[str, list[_Call]]) -> None:
        self._calls = calls
        self._weighty = {name: weighty(layer) > 0 for name, layer in network.named_sublayers()}
        self.found: list[str] = []
        self.looked: list[str] = []

    def descend(self, name: str) -> None:
        """Find what can be removed inside a layer."""
        for child in self._children(name):
            calls = self._calls.get(child, [])
            if len(calls) == 1 and calls[0].fits and not self._chain(child):
                self.found.append(child)
            elif self._children(child):
                self.descend(child)
            else:
                self.looked.append(f"{child} ({_described(calls)})")

    def _inside(self, name: str) -> list[str]:
        prefix = f"{name}." if name else ""
        return [other for other in self._weighty if other != name and other.startswith(prefix)]

    def _children(self, name: str) -> list[str]:
        """The layers with weights right inside a layer."""
        depth = name.count(".") + 1 if name else 0
        return [other for other in self._inside(name) if self._weighty[other] and other.count(".") == depth]

    def _chain(self, name: str) -> bool:
        """Whether a layer only passes its input on from one of its layers to the next.

        It is no more than they are if several of them have weights, or if there is but one.
        """
        call = self._calls[name][0]
        value, steps = call.given, list[str]()
        while value is not call.gave:
            after = next((other for other in self._inside(name) if self._passes(other, value)), None)
            if after is None:
                return False
            steps.append(after)  # of nested layers that are given the same, the outer one comes first
            value = self._calls[after][0].gave
        return len(steps) == 1 or sum(self._weighty[step] for step in steps) > 1

    def _passes(self, name: str, value: Any) -> bool:
        calls = self._calls.get(name, [])
        return len(calls) == 1 and calls[0].given is value and calls[0].gave is not value


def _described(calls: list[_Call]) -> str:
    """Why what was seen of a layer does not let it be removed."""
    if len(calls) != 1:
        return f"called {len(calls)} times"
    shapes = [
        "x".join(str(size) for size in value.shape[1:]) if isinstance(value, paddle.Tensor) else type(value).__name__
        for value in (calls[0].given, calls[0].gave)
    ]
    return " -> ".join(shapes)
