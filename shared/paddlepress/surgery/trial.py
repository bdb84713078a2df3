"""Try cuts out on a copy of a model, where the traced program alone does not prove them right.

A network may hold sizes as plain numbers (`x.reshape([-1, 3136])`) or have layers of its own that
surgery knows nothing of. Such a cut is right if and only if the network computes, after it, what it
computes with the same units silenced; so that is compared, with random weights and inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.surgery import edits
from paddlepress.surgery.groups import Group
from paddlepress.surgery.narrow import Keep, cut

if TYPE_CHECKING:
    from paddlepress.model import Model

TOLERANCE = 1e-3


def sound(model: Model, groups: Sequence[Group]) -> list[Group]:
    """Those of the groups whose units can be removed; the model itself is left alone.

    All are tried together and, if that fails, each half by itself, down to single groups.
    """
    import paddle

    state = paddle.get_rng_state()
    try:
        return _sound(model, list(groups))
    finally:
        paddle.set_rng_state(state)


def _sound(model: Model, groups: list[Group]) -> list[Group]:
    if not groups or _passes(model, groups):
        return groups
    if len(groups) == 1:
        return []
    middle = len(groups) // 2
    return _sound(model, groups[:middle]) + _sound(model, groups[middle:])


def _passes(model: Model, groups: Sequence[Group]) -> bool:
    from paddlepress.surgery.layers import float_inputs

    random = np.random.default_rng(0)
    twin = model.copy()
    _randomise(twin, random)
    chosen = [(group, _some(group, random)) for group in groups]
    inputs = [_input(spec.shape, spec.dtype, random) for spec in model.inputs]
    with float_inputs(twin.network):
        _silence(twin, chosen)
        expected = _outputs(twin, inputs)
        try:
            cut(twin, chosen)
            got = _outputs(twin, inputs)
        except Exception:  # a size that no longer fits fails in as many ways as there are operations
            return False
    return len(got) == len(expected) and all(
        a.shape == b.shape and bool(np.all(np.abs(a - b) <= TOLERANCE * max(float(np.abs(a).max(initial=0)), 1e-6)))
        for a, b in zip(expected, got, strict=True)
    )


def _some(group: Group, random: np.random.Generator) -> Keep:
    """About half of the units, scattered: a cut at a wrong place would not go unnoticed."""
    return np.sort(random.choice(group.units, size=(group.units + 1) // 2, replace=False))


def _randomise(model: Model, random: np.random.Generator) -> None:
    """Weights without dead or saturated units, so that every unit counts in the output."""
    for name, parameter in model.network.named_parameters():
        shape = tuple(parameter.shape)
        if len(shape) > 1:
            fan_in = max(int(np.prod(shape)) // max(shape[0], 1), 1) if len(shape) != 2 else shape[0]
            value = random.normal(0, (2 / fan_in) ** 0.5, shape)
        elif name.endswith(("_variance", "weight")):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.normal(0, 0.1, shape)
        parameter.set_value(value.astype(np.asarray(parameter.numpy()).dtype))


def _silence(model: Model, chosen: Sequence[tuple[Group, Keep]]) -> None:
    """Zero everything that the removed units own, what reads them included."""
    for group, keep in chosen:
        lost = np.setdiff1d(np.arange(group.units), keep)
        for part in group.slices:
            parameter = edits.parameter(model.network, part.parameter)
            value = np.array(parameter.numpy())
            np.moveaxis(value, part.axis, 0)[part.indices[lost].reshape(-1)] = 0
            parameter.set_value(value)


def _input(shape: tuple[int, ...], dtype: str, random: np.random.Generator) -> Any:
    import paddle

    sizes = (2, *(max(size, 1) for size in shape))
    if np.issubdtype(np.dtype(dtype), np.integer):
        return paddle.zeros(sizes, dtype)
    return paddle.to_tensor(random.normal(0, 1, sizes).astype(dtype))


def _outputs(model: Model, inputs: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    import paddle
    from paddle.utils import flatten

    with paddle.no_grad():
        found = flatten(model.network(*inputs))
    return [np.asarray(value.numpy()) for value in found if hasattr(value, "numpy")]
