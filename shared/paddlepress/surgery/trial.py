"""Try cuts out on a copy of a model, where the traced program alone does not prove them right.

A network may hold sizes as plain numbers (`x.reshape([-1, 3136])`) or have layers of its own that
surgery knows nothing of. Such a cut is right if and only if the network computes, after it, what it
computes with the same units silenced; so that is compared, with random weights and inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.surgery import edits
from paddlepress.surgery.groups import Group
from paddlepress.surgery.narrow import Keep, cut

if TYPE_CHECKING:
    from paddlepress.model import Model

TOLERANCE = 1e-3


def sound(model: Model, sure: Sequence[Group], doubtful: Sequence[Group], *, training: bool = False) -> list[Group]:
    """Those of the groups whose units can be removed; the model itself is left alone.

    All are tried together and, if that fails, each half by itself, down to single groups. What is left is
    tried again in parts, so that any two groups were cut one without the other: code that divides the
    size of one by that of the other works only as long as both shrink alike.

    Args:
        model: whose network it is.
        sure: what the traced program shows to be right, as far as it goes.
        doubtful: what it does not.
        training: whether the cut network has to run in training mode too.
    """
    import paddle

    state = paddle.get_rng_state()
    try:
        trials = _Trials(model, training)
        found, before = [[group] for group in trials.pass_of(list(doubtful))] + [list(sure)], -1
        while sum(map(len, found)) != before:
            before = sum(map(len, found))
            found = _among(found, trials.pass_of([group for part in found for group in part]))
            for part in _parts(found):
                tried = [group for group in part if any(group in some for some in found)]
                bad = set(tried) - set(trials.pass_of(tried))
                found = _among(found, {group for some in found for group in some} - bad)
        return [group for part in found for group in part]
    finally:
        paddle.set_rng_state(state)


def _among(parts: Sequence[Sequence[Group]], allowed: Collection[Group]) -> list[list[Group]]:
    return [kept for part in parts if (kept := [group for group in part if group in allowed])]


def _parts(parts: Sequence[Sequence[Group]]) -> list[list[Group]]:
    """Unions of the parts such that of any two there is one with the first alone, and one with the second."""
    return [
        [group for number, part in enumerate(parts) if number >> bit & 1 == side for group in part]
        for bit in range(max(len(parts) - 1, 0).bit_length())
        for side in (0, 1)
    ]


class _Trials:
    """A copy of a model to cut again and again."""

    def __init__(self, model: Model, training: bool) -> None:
        self.random = np.random.default_rng(0)
        self.training = training
        self.twin = model.copy()
        self.twin.scales.clear()  # the random weights are on no grid, and a cut must not round them to one
        _randomise(self.twin, self.random)
        self.inputs = [_input(spec.shape, spec.dtype, self.random) for spec in model.inputs]

    def pass_of(self, groups: list[Group]) -> list[Group]:
        """Those of the groups that can be cut together."""
        if not groups or self.passes(groups):
            return groups
        if len(groups) == 1:
            return []
        middle = len(groups) // 2
        return self.pass_of(groups[:middle]) + self.pass_of(groups[middle:])

    def passes(self, groups: Sequence[Group]) -> bool:
        """Whether the network without some units of each group computes what it does with them silenced."""
        from paddlepress.surgery.frozen import Statistics
        from paddlepress.surgery.layers import float_inputs

        chosen = [(group, self._some(group)) for group in groups]
        network, statistics = self.twin.network, Statistics()
        with _restored(self.twin), float_inputs(network), statistics.used(network, groups):
            _silence(self.twin, chosen)
            expected = self._outputs()
        with _restored(self.twin), float_inputs(network), statistics.used(network, groups):
            try:
                cut(self.twin, chosen)
                got = self._outputs()
                if self.training:
                    self._train()
            except Exception:  # a size that no longer fits fails in as many ways as there are operations
                return False
        return len(got) == len(expected) and all(
            a.shape == b.shape and bool(np.all(np.abs(a - b) <= TOLERANCE * max(float(np.abs(a).max(initial=0)), 1e-6)))
            for a, b in zip(expected, got, strict=True)
        )

    def _some(self, group: Group) -> Keep:
        """Some of the units, scattered, a part of its own of each group: a wrong cut would not go unnoticed."""
        size = int(self.random.integers(1, group.units)) if group.units < 6 else self._about_half(group.units)
        return np.sort(self.random.choice(group.units, size=size, replace=False))

    def _about_half(self, units: int) -> int:
        return int(self.random.integers(units // 3, 2 * units // 3 + 1))

    def _outputs(self) -> list[np.ndarray[Any, Any]]:
        import paddle
        from paddle.utils import flatten

        with paddle.no_grad():
            found = flatten(self.twin.network(*self.inputs))
        return [np.asarray(value.numpy()) for value in found if hasattr(value, "numpy")]

    def _train(self) -> None:
        import paddle

        self.twin.network.train()
        try:
            with paddle.no_grad():
                self.twin.network(*self.inputs)
        finally:
            self.twin.network.eval()


@contextmanager
def _restored(model: Model) -> Iterator[None]:
    """Within it the network may be cut and its weights changed; afterwards it is as it was."""
    layers = dict(model.network.named_sublayers(include_self=True))
    parameters = {name: dict(layer._parameters) for name, layer in layers.items()}
    values = {name: np.array(value.numpy()) for name, value in model.network.state_dict().items()}
    sizes = {
        name: {attribute: vars(layer)[attribute] for attribute in edits.NARROWABLE & vars(layer).keys()}
        for name, layer in layers.items()
    }
    try:
        yield
    finally:
        for name, layer in layers.items():
            layer._parameters.update(parameters[name])
            for attribute, value in sizes[name].items():
                setattr(layer, attribute, value)
        edits.refresh_recurrent(model.network, layers)
        for name, value in model.network.state_dict().items():
            value.set_value(values[name])


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
