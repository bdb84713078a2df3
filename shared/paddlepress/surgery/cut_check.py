"""Try cuts out: no traced program alone proves them right.

Paddle traces a network with the sizes that it has. Whatever the code makes of a size (the shape of a reshape, zeros
that are concatenated, a factor of `x.shape[-1] ** -0.5`) is a plain number in the program, and nothing tells one
that follows a cut from one that does not. A cut is right if and only if the network computes, after it, what it
computes with the same units silenced; so that is compared, with random weights and inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.random_inputs import random_inputs, unseeded
from paddlepress.surgery.groups import Group
from paddlepress.surgery.narrow import UnitIndices, cut
from paddlepress.surgery.randomized_copy import StandIn

if TYPE_CHECKING:
    from paddlepress.network.model import Model

# Of the largest output. A right cut differs by 2e-6 at most in the networks of `paddle.vision.models`; a fifth more
# of what any of their layers puts out, by 2e-3 at least. In training, batch norms over few values magnify the first.
TOLERANCE, IN_TRAINING = 1e-4, 1e-3
BATCHES = (1, 2)

_WHY = "sizes are written in the network's code, or follow from a tensor's shape there"
FAILS = f"would fail without some of its units: {_WHY}"
DIFFERS = f"would compute something else without some of its units: {_WHY}"

Outputs = list[NDArray[Any]]


def sound(model: Model, sure: Sequence[Group], doubtful: Sequence[Group]) -> tuple[list[Group], dict[Group, str]]:
    """Those of the groups whose units can be removed, and why the others can't; the model itself is left alone.

    All are tried together and, if that fails, each half by itself, down to single groups. Where some are doubtful,
    what is left is tried again in parts, so that any two groups were cut one without the other: code that divides
    the size of one by that of the other works only as long as both shrink alike.

    Args:
        model: whose network it is.
        sure: what the traced program shows to be right, as far as it goes.
        doubtful: what it does not.

    Raises:
        TechniqueRefused: the network does not run on random inputs.
    """
    with unseeded():
        trials = _Trials(model)
        found, before = [[group] for group in trials.pass_of(list(doubtful))] + [list(sure)], -1
        while sum(map(len, found)) != before:
            before = sum(map(len, found))
            found = _among(found, trials.pass_of([group for part in found for group in part]))
            for part in _parts(found):
                tried = [group for group in part if any(group in some for some in found)]
                bad = set(tried) - set(trials.pass_of(tried))
                found = _among(found, {group for some in found for group in some} - bad)
        return [group for part in found for group in part], trials.refused


def check(model: Model, chosen: Sequence[tuple[Group, UnitIndices]]) -> None:
    """Refuse a cut that would make a network fail or compute something else: the very one that is to be made.

    Code may do something else at some sizes, as `if x.shape[1] > 8` does, which `sound` need not have met.

    Args:
        model: it is left alone.
        chosen: groups as they stand in the network now, and the units of each that stay.

    Raises:
        TechniqueRefused: the cut is wrong; names a group by which it is.
    """
    cuts = [(group, keep) for group, keep in chosen if len(keep) < group.units]
    if not cuts:
        return
    with unseeded():
        trials = _Trials(model)
        fault = trials.fault(cuts)
        if not fault:
            return
        for group, keep in cuts:
            if alone := trials.fault([(group, keep)]):
                raise TechniqueRefused(f"{group.name} with {len(keep)} of its {group.units} units {alone}; exclude it")
        names = ", ".join(f"{group.name} ({len(keep)} of {group.units} units)" for group, keep in cuts)
        raise TechniqueRefused(f"the network, cut in {names}, {fault}; exclude some of them")


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
    """Cuts of one model, one after another.

    Attributes:
        refused: groups that could not be cut -> why.
    """

    def __init__(self, model: Model) -> None:
        self.refused: dict[Group, str] = {}
        self._numbers = np.random.default_rng(0)
        self._network = StandIn(model, self._numbers)
        first, second = (random_inputs(model, batch, self._numbers) for batch in BATCHES)
        try:
            self._network.outputs(first)
        except Exception:  # it may look these numbers up; then small ones do
            first, second = (random_inputs(model, batch, self._numbers, standard=False) for batch in BATCHES)
        self._calls = [_Call(first), _Call(second), _Call(second, training=True)]
        self._errors: dict[_Call, str] = {}

    def pass_of(self, groups: Sequence[Group], beside: Sequence[Group] = ()) -> list[Group]:
        """Those of the groups that can be cut together, and along with others of which that is known.

        Each input batch sees another cut. Of any two groups of a size, of which there may be a few dozen, at least
        one cut takes more units of one: a number that follows from both is not the same by chance.
        """
        if not groups:
            return []
        together = [*beside, *groups]
        fault = self.fault(self._some(together, near=True), self._calls[:1])
        fault = fault or self.fault(self._some(together, near=False), self._calls[1:])
        if not fault:
            return list(groups)
        if len(groups) == 1:
            self.refused[groups[0]] = fault
            return []
        middle = len(groups) // 2
        found = self.pass_of(groups[:middle], beside)
        return found + self.pass_of(groups[middle:], [*beside, *found])

    def fault(self, chosen: Sequence[tuple[Group, UnitIndices]], calls: Sequence[_Call] = ()) -> str:
        """What is wrong with the network without some units, beside itself with these silenced; empty: nothing.

        In evaluation mode both must give the same, and in training mode too, unless something is random there.

        Args:
            chosen: groups, and the units of each that stay.
            calls: what is computed; empty: all that there is.

        Raises:
            TechniqueRefused: the network does not run on random inputs, uncut.
        """
        from paddlepress.surgery.fixed_norm_statistics import Statistics

        calls = calls or self._calls
        groups = [group for group, _ in chosen]
        statistics = {call: Statistics() for call in calls}

        def run(call: _Call, seed: int = 0, noise: float = 0.0) -> Outputs | str:
            inputs = [
                value if value.dtype.kind in "iu" else value + np.asarray(noise * value, value.dtype)
                for value in call.inputs
            ]
            try:
                with statistics[call].used(self._network.model.network, groups):
                    return self._network.outputs(inputs, training=call.training, seed=seed)
            except Exception as error:  # a size that no longer fits fails in as many ways as there are operations
                return (str(error).strip().splitlines() or [type(error).__name__])[0]

        with self._network.restored(groups):
            self._network.silence(chosen)
            expected = {call: run(call) for call in calls}
        self._errors |= {call: outputs for call, outputs in expected.items() if isinstance(outputs, str)}
        if all(call in self._errors for call in self._calls if not call.training):
            raise TechniqueRefused(f"the network does not run on random inputs: {self._errors[self._calls[0]]}")
        with self._network.restored(groups):
            try:
                cut(self._network.model, chosen)
            except Exception:  # a layer of a kind of its own, whose attributes mean something else
                return FAILS
            got = {call: run(call) for call in calls if call not in self._errors}
        for call, outputs in got.items():
            fault = _compared(expected[call], outputs, call.tolerance)
            if fault == DIFFERS and call.training:
                with self._network.restored(groups):
                    self._network.silence(chosen)
                    # Dropout, say, or a batch norm over two values of a channel that are all but the same.
                    again = run(call, seed=1, noise=1e-6)
                fault = "" if _compared(expected[call], again, call.tolerance) else fault
            if fault:
                return fault
        return ""

    def _some(self, groups: Sequence[Group], near: bool) -> list[tuple[Group, UnitIndices]]:
        """Some of the units of each group, scattered.

        Args:
            groups: whose.
            near: whether groups beside each other lose another number of units, or those that are further apart.
        """
        chosen = []
        for place, group in enumerate(groups):
            low, high = (1, group.units - 1) if group.units < 6 else (group.units // 3, 2 * group.units // 3)
            sizes = high - low + 1
            size = low + (place if near else place // sizes + 1) % sizes
            chosen.append((group, np.sort(self._numbers.choice(group.units, size=size, replace=False))))
        return chosen


@dataclass(frozen=True, eq=False)
class _Call:
    """What a network is run on, and how."""

    inputs: list[NDArray[Any]]
    training: bool = False

    @property
    def tolerance(self) -> float:
        return IN_TRAINING if self.training else TOLERANCE


def _compared(expected: Outputs | str, got: Outputs | str, tolerance: float) -> str:
    """What is wrong with outputs; those that are a string are an error's."""
    if isinstance(expected, str):
        return ""
    if isinstance(got, str) or [a.shape for a in expected] != [b.shape for b in got]:
        return FAILS
    same = all(
        bool(np.all(np.abs(a - b) <= tolerance * max(float(np.abs(a).max(initial=0)), 1e-6)))
        for a, b in zip(expected, got, strict=True)
    )
    return "" if same else DIFFERS
