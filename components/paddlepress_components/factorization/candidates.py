"""The layers of a network that may be factorized, how often they run, and why the others may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress.core.errors import DataError, TechniqueRefused
from paddlepress.forward.layer_hooks import after, before
from paddlepress.network.architectures.layers import Conv2D
from paddlepress.network.edits import find
from paddlepress.network.inserted_layers import LowRankConv2D, LowRankLinear
from paddlepress.network.layer_kinds import weighted_layers
from paddlepress.surgery.groups import layer_of
from paddlepress.surgery.kernel_times import Work
from paddlepress.surgery.macs import macs
from paddlepress.surgery.program import evaluating
from paddlepress.surgery.time_estimate import uses
from paddlepress_components.factorization.kernels import Places

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.spec.tensors import Inputs

# What factors stand for: a layer that computes something else with its weight can't be replaced by them.
_FORWARDS = (nn.Linear.forward, nn.Conv2D.forward, Conv2D.forward)


@dataclass(frozen=True)
class Candidates:
    """The layers of a kind that are not excluded.

    Attributes:
        layers: those that may be factorized, by name.
        places: over how many pixels, or rows, each of them runs at one example.
        reasons: why the others may not be, by name.
        fixed: what all layers of the kind, excluded ones too, compute at one example that stay.
    """

    layers: dict[str, nn.Layer]
    places: dict[str, Places]
    reasons: dict[str, str]
    fixed: tuple[Work, ...]


def candidates(
    model: Model, kind: type[nn.Layer], exclude: Iterable[str], refuse: Callable[[nn.Layer], str]
) -> Candidates:
    """Look for the layers to factorize.

    Args:
        model: run once at one example, and traced; not changed.
        kind: `nn.Linear` or `nn.Conv2D`.
        exclude: patterns of names of layers that are not looked at.
        refuse: why the technique itself leaves a layer alone; empty if it does not.

    Raises:
        TechniqueRefused: the network can't be traced.
    """
    allowed = weighted_layers(model.network, exclude)
    every = {name: one for name, one in weighted_layers(model.network).items() if isinstance(one, kind)}
    counts = macs(model)
    places = runs(model, every)
    fixed = _promised(model) | dict.fromkeys(_held_twice(model.network, every), "its weight is another layer's too")
    reasons = {}
    for name in (name for name in every if name in allowed):
        reason = fixed.get(name, "") or _unfit(model.network, name) or refuse(every[name])
        if not reason and name not in places:
            reason = "it never runs"
        if not reason and counts.get(name) != every[name].weight.size * places[name].outputs:
            reason = "its weight is used elsewhere too"
        reasons[name] = reason
    free = {name: every[name] for name, reason in reasons.items() if not reason}
    return Candidates(
        layers=free,
        places={name: places[name] for name in free},
        reasons={name: reason for name, reason in reasons.items() if reason},
        fixed=tuple(
            use.work
            for weight, found in uses(model).items()
            if layer_of(weight) in every and layer_of(weight) not in free
            for use in found
            for _ in range(use.times)
        ),
    )


def outcome(found: Candidates, chosen: Mapping[str, tuple[int, ...]], what: str) -> list[str]:
    """What became of each layer, in a sentence.

    Args:
        found: the layers that were looked at.
        chosen: the ranks of those that are factorized.
        what: a layer of the kind is called.

    Raises:
        TechniqueRefused: none is factorized.
    """
    left = [name for name in found.layers if name not in chosen]
    reasons = found.reasons | dict.fromkeys(left, "factors would save nothing, or take longer")
    if not chosen:
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise TechniqueRefused(
            f"no {what} can be factorized ({said or 'there is none'})"
            + (". With a number for round_to, time does not matter" if left else "")
        )
    made = [f"{name}: rank {'x'.join(map(str, ranks))}" for name, ranks in chosen.items()]
    return made + [f"{name}: left as it is: {reason}" for name, reason in reasons.items()]


def _promised(model: Model) -> dict[str, str]:
    """Layers about which an edit says what factors would not keep, with that reason."""
    parameters = model.on_a_grid() | dict.fromkeys(model.masked(), "pruned already")
    found = {name.rpartition(".")[0]: reason for name, reason in parameters.items()}
    rounded = {edit.layer or edit.reader for edit in model.quantized_outputs()}
    return dict.fromkeys(rounded, "its activations are quantized already") | found


def _held_twice(network: nn.Layer, layers: Mapping[str, nn.Layer]) -> list[str]:
    """Layers that stand in several places, or whose weight does."""
    inner = network.sublayers(include_self=True)
    owners = Counter(id(child) for layer in inner for child in layer._sub_layers.values())
    owners.update(id(value) for layer in inner for value in layer._parameters.values() if value is not None)
    return [name for name, layer in layers.items() if max(owners[id(layer)], owners[id(layer.weight)]) > 1]


def _unfit(network: nn.Layer, name: str) -> str:
    """Why a layer can't be replaced by factors of its weight; empty if it can."""
    layer = find(network, name)
    if isinstance(find(network, name.rpartition(".")[0]), LowRankLinear | LowRankConv2D):
        return "it is a factor already"
    if type(layer).forward not in _FORWARDS:
        return f"it is a {type(layer).__name__}, which computes in its own way"
    if layer._forward_pre_hooks or layer._forward_post_hooks or "weight" not in layer._parameters:
        return "hooks change what it computes"
    return ""


def runs(model: Model, layers: Mapping[str, nn.Layer]) -> dict[str, Places]:
    """Over how many pixels convolutions, and rows dense layers, run at one example.

    A layer that runs several times counts as often; one that never does is left out.
    """
    found: dict[str, Places] = {}

    def see(name: str) -> Any:
        def hook(layer: Any, inputs: Any, output: Any) -> None:
            now, so_far = _places(layer, inputs[0].shape, output.shape), found.get(name, Places(0, 0, 0))
            found[name] = Places(*(one + other for one, other in zip(now, so_far, strict=True)))

        return hook

    hooks = [after(layer, see(name)) for name, layer in layers.items()]
    inputs = [paddle.zeros([1, *spec.shape], spec.dtype) for spec in model.inputs]
    try:
        with evaluating(model.network), paddle.no_grad():
            model.network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _places(layer: nn.Layer, given: Sequence[int], made: Sequence[int]) -> Places:
    """Where a layer runs for an input and an output of these shapes."""
    if isinstance(layer, nn.Linear):
        return Places(*(prod(made[:-1]),) * 3)
    first = 1 if layer._data_format == "NHWC" else 2
    (height, width), (down, across) = given[first : first + 2], made[first : first + 2]
    return Places(height * width, down * width, down * across)


def moments(
    model: Model, layers: Mapping[str, nn.Layer], inputs: Inputs, batch_size: int = 256
) -> dict[str, NDArray[np.float64]]:
    """The sum of `x x^T` over the inputs x of each dense layer, [features, features].

    Args:
        model: run in evaluation mode.
        layers: dense layers by name.
        inputs: examples, float32 [n, *shape].
        batch_size: how many go through the network at once.

    Raises:
        DataError: there are no examples.
        TechniqueRefused: a layer receives values that are not finite.
    """
    if len(inputs) == 0:
        raise DataError("the calibration split is empty: factors for the data need examples")
    found = {name: np.zeros((layer.weight.shape[0],) * 2, np.float64) for name, layer in layers.items()}

    def see(name: str) -> Any:
        def hook(layer: Any, received: Any) -> None:
            # In float64: with fewer examples than features, rounding would make the sum indefinite.
            rows = received[0].numpy().reshape(-1, received[0].shape[-1]).astype(np.float64)
            found[name] += rows.T @ rows

        return hook

    hooks = [before(layer, see(name)) for name, layer in layers.items()]
    try:
        model.predict(inputs, batch_size)
    finally:
        for hook in hooks:
            hook.remove()
    for name, sums in found.items():
        if not np.isfinite(sums).all():
            raise TechniqueRefused(f"{name} receives values that are not finite on calibration data")
    return found
