"""Cut units out of a network's parameters, and record what was done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.network import edits
from paddlepress.spec.tensors import Array, spread_scale
from paddlepress.surgery import layer_sizes
from paddlepress.surgery.groups import Group

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.model import Model

UnitIndices = NDArray[np.int64]


def checked(group: Group, keep: UnitIndices) -> UnitIndices:
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


def cut(model: Model, chosen: Sequence[tuple[Group, UnitIndices]]) -> edits.Narrow | None:
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
    layers = _holders(model.network, gone)
    before = {name: layer_sizes.before_cut(edits.find(model.network, name)) for name in layers}
    quantized = {name: edit for name, edit in model.quantized().items() if name in model.scales}
    stays = {
        name: {axis: _remaining(model, name, axis, lost) for axis, lost in axes.items()} for name, axes in gone.items()
    }
    values = {name: _taken(model, name, kept) for name, kept in stays.items()}
    shapes = {name: value.shape for name, value in values.items()}
    had = {name: _scales_of_runs(model, quantized[name], stays[name]) for name in quantized.keys() & stays.keys()}
    for name, parameter in edits.shrink_parameters(model.network, shapes, blank=True).items():
        parameter.set_value(values[name])
        if name in quantized:
            _narrow_scales(model, quantized[name], stays[name], had[name])
    edits.refresh_recurrent(model.network, layers)
    stated = {name: layer_sizes.after_cut(edits.find(model.network, name), before[name]) for name in layers}
    for group, keep in chosen:
        for name, attribute in group.counts:
            stated.setdefault(name, {})[attribute] = len(keep)
    stated = {name: found for name, found in stated.items() if found}
    for name, found in stated.items():
        for attribute, size in found.items():
            edits.set_size(edits.find(model.network, name), name, attribute, size)
    return edits.Narrow(shapes=shapes, sizes=stated)


def _remaining(model: Model, name: str, axis: int, lost: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    size = int(edits.parameter(model.network, name).shape[axis])
    return np.setdiff1d(np.arange(size), np.concatenate(lost))


def _taken(model: Model, name: str, stays: dict[int, NDArray[np.int64]]) -> NDArray[Any]:
    return _along(np.asarray(edits.parameter(model.network, name).numpy()), stays)


def _along(value: NDArray[Any], stays: dict[int, NDArray[np.int64]]) -> NDArray[Any]:
    for axis, kept in stays.items():
        value = value.take(kept, axis=axis)
    return np.ascontiguousarray(value)


def _scales_of_runs(model: Model, edit: edits.Quantize, stays: dict[int, NDArray[np.int64]]) -> Array | None:
    if edit.group is None or edit.axis is None:
        return None
    shape = tuple(edits.parameter(model.network, edit.parameter).shape)
    spread = spread_scale(model.scales[edit.parameter], edit.axis, shape, edit.group)
    return _along(spread, stays)


def _narrow_scales(model: Model, edit: edits.Quantize, stays: dict[int, NDArray[np.int64]], had: Array | None) -> None:
    """Let the scales of a quantized weight follow a cut that was made.

    A run of weights keeps the scale that all of them had, or else gets one that fits, and is rounded again.

    Args:
        had: where runs of weights share scales, the one that each of the weights that stay had before.
    """
    from paddlepress.network.grids import as_rows, fit_scale, put_on_grid

    if had is not None:
        runs = as_rows(had, edit.axis, edit.group)
        one, other = np.nanmin(runs, axis=1), np.nanmax(runs, axis=1)
        value = np.asarray(edits.parameter(model.network, edit.parameter).numpy())
        fitted = fit_scale(value, edit.bits, edit.axis, edit.group, edit.reduce_range)
        put_on_grid(model, edit, np.where(one == other, one, fitted.reshape(-1)).reshape(fitted.shape))
    elif edit.axis in stays:
        model.scales[edit.parameter] = model.scales[edit.parameter][stays[edit.axis]]


def _holders(network: paddle.nn.Layer, parameters: Iterable[str]) -> list[str]:
    """The layers that hold any of these parameters; a recurrent layer's are its cells' too."""
    wanted = {id(edits.parameter(network, name)) for name in parameters}
    return [
        name
        for name, layer in network.named_sublayers(include_self=True)
        if any(id(value) in wanted for value in layer._parameters.values())
    ]
