"""Cut units out of a network's parameters, and record what was done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.surgery import edits
from paddlepress.surgery.groups import Group

if TYPE_CHECKING:
    import paddle

    from paddlepress.model import Model

Keep = NDArray[np.int64]


def checked(group: Group, keep: Keep) -> Keep:
    """Check which units are to stay.

    Raises:
        ValueError: not sorted unique unit numbers of the group, or none at all.
    """
    kept = np.asarray(keep)
    if kept.size == 0:
        raise ValueError(f"group {group.name!r}: at least one of its {group.units} units must be kept")
    if kept.ndim != 1 or not np.issubdtype(kept.dtype, np.integer):
        raise ValueError(f"group {group.name!r}: keep is {keep!r}; it must be a vector of unit numbers")
    if np.any(np.diff(kept) <= 0):
        raise ValueError(f"group {group.name!r}: the units to keep must be sorted and unique, not {kept.tolist()}")
    if kept[0] < 0 or kept[-1] >= group.units:
        wrong = kept[0] if kept[0] < 0 else kept[-1]
        raise ValueError(f"group {group.name!r}: there is no unit {wrong}; valid are 0 to {group.units - 1}")
    return kept.astype(np.int64)


def is_stale(network: paddle.nn.Layer, group: Group) -> bool:
    """Whether one of the group's axes was cut since the group was traced."""
    return any(edits.parameter(network, part.parameter).shape[part.axis] != part.size for part in group.slices)


def cut(model: Model, chosen: Iterable[tuple[Group, Keep]]) -> edits.Narrow | None:
    """Cut groups in place, all at once; None if every unit stays.

    Args:
        model: its network and its scales are changed.
        chosen: groups as they stand in the network now, and the units of each that stay.
    """
    gone: dict[str, dict[int, list[NDArray[np.int64]]]] = {}
    for group, keep in chosen:
        lost = np.setdiff1d(np.arange(group.units), keep)
        if lost.size:
            for part in group.slices:
                gone.setdefault(part.parameter, {}).setdefault(part.axis, []).append(part.indices[lost].reshape(-1))
    if not gone:
        return None
    layers = {name.rpartition(".")[0]: None for name in gone}
    depthwise = {name: _depthwise_multiplier(edits.find(model.network, name)) for name in layers}
    quantized = {name: edit for name, edit in model.quantized().items() if name in model.scales}
    shapes = {}
    for name, axes in gone.items():
        stays = {axis: _remaining(model, name, axis, lost) for axis, lost in axes.items()}
        shapes[name] = _take(model, name, stays)
        if name in quantized:
            _narrow_scales(model, quantized[name], stays)
    sizes = {}
    for name in layers:
        layer = edits.find(model.network, name)
        found = _sizes(layer, depthwise[name])
        if found:
            sizes[name] = found
        for attribute, value in found.items():
            setattr(layer, attribute, value)
    return edits.Narrow(shapes=shapes, sizes=sizes)


def _remaining(model: Model, name: str, axis: int, lost: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    size = int(edits.parameter(model.network, name).shape[axis])
    return np.setdiff1d(np.arange(size), np.concatenate(lost))


def _take(model: Model, name: str, stays: dict[int, NDArray[np.int64]]) -> tuple[int, ...]:
    value = np.asarray(edits.parameter(model.network, name).numpy())
    for axis, kept in stays.items():
        value = value.take(kept, axis=axis)
    edits.replace_parameter(model.network, name, value.shape).set_value(np.ascontiguousarray(value))
    return value.shape


def _narrow_scales(model: Model, edit: edits.Quantize, stays: dict[int, NDArray[np.int64]]) -> None:
    """Let the scales of a quantized weight follow a cut that was made."""
    from paddlepress.grid import put_on_grid

    if edit.group is not None and any(axis != edit.axis for axis in stays):
        put_on_grid(model, edit)  # the runs of weights that share a scale are others now
    elif edit.axis in stays:
        model.scales[edit.parameter] = model.scales[edit.parameter][stays[edit.axis]]


def _depthwise_multiplier(layer: Any) -> int | None:
    """Filters per channel of a convolution that keeps its channels apart; None for any other layer."""
    groups = getattr(layer, "_groups", 1)
    if _is_convolution(layer) and groups > 1 and groups == layer._in_channels:
        return int(layer._out_channels) // int(groups)
    return None


def _is_convolution(layer: Any) -> bool:
    return all(hasattr(layer, name) for name in ("weight", "_groups", "_in_channels", "_out_channels", "_kernel_size"))


def _is_transposed(layer: Any) -> bool:
    import paddle

    return isinstance(layer, paddle.nn.Conv1DTranspose | paddle.nn.Conv2DTranspose | paddle.nn.Conv3DTranspose)


def _sizes(layer: Any, depthwise: int | None) -> dict[str, int]:
    """What a layer says of its own sizes, from the shapes its parameters have now."""
    if _is_convolution(layer):
        first, second = (int(size) for size in layer.weight.shape[:2])
        if _is_transposed(layer):
            return {"_in_channels": first, "_out_channels": second * layer._groups}
        groups = layer._groups if depthwise is None else first // depthwise
        return {"_in_channels": second * groups, "_out_channels": first, "_groups": groups}
    found = {}
    for attribute, parameter, axis in (
        ("in_features", "weight", 0),
        ("out_features", "weight", 1),
        ("_num_features", "_mean", 0),
        ("_num_features", "scale", 0),
    ):
        value = layer._parameters.get(parameter)
        if hasattr(layer, attribute) and value is not None and len(value.shape) > axis:
            found[attribute] = int(value.shape[axis])
    return found
