"""How much to cut so that a network keeps a given share of its multiply-accumulates, or of its time.

What a layer computes is a whole multiple of its weight's elements: a convolution multiplies with its
kernel once for every pixel, a dense layer once for every row, a recurrent one once for every step. So
what is left after a cut follows from the sizes of the weights, and nothing is traced again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network import edits
from paddlepress.surgery.groups import Graph
from paddlepress.surgery.kernel_times import Kernels
from paddlepress.surgery.macs import macs_of_weights
from paddlepress.surgery.time_estimate import time_of, uses

if TYPE_CHECKING:
    from paddlepress.network.model import Model

KeptUnits = dict[str, NDArray[np.int64]]
Worth = Callable[[KeptUnits, str, NDArray[np.int64]], float]
"""What is gained by letting one more group keep fewer units than now: `worth(keep, group, kept)`."""

TOLERANCE = 0.05
"""How far from what was asked, relative to it, a cut may end."""
_HALVINGS = 24


class Budget:
    """What cuts leave of a network's multiply-accumulates, or of its estimated time.

    Attributes:
        total: multiply-accumulates, or nanoseconds, for one example before any cut.
        what: is counted, in words.
        timed: whether it is time.
    """

    def __init__(self, model: Model, graph: Graph, kernels: Kernels | None = None) -> None:
        """
        Args:
            model, graph: the graph is what `surgery.graph.trace` gave for the model as it is now.
            kernels: of the processor whose time is estimated; without them multiply-accumulates are counted.

        Raises:
            TechniqueRefused: the multiply-accumulates can't be counted, see `surgery.macs`.
        """
        self._macs = {} if kernels else macs_of_weights(model)
        self._uses = uses(model) if kernels else {}
        self._kernels = kernels
        counted = (*self._macs, *self._uses)
        self._shapes = {name: tuple(edits.parameter(model.network, name).shape) for name in counted}
        self._groups = {group.name: group for group in graph.groups}
        self.timed = kernels is not None
        self.what = "estimated time" if self.timed else "multiply-accumulates"
        self.total = self._cost(self._shapes)

    def after(self, keep: Mapping[str, NDArray[np.int64]]) -> float:
        """What is left once only these units are; groups that are not named stay whole.

        Args:
            keep: group name -> the units that stay.
        """
        sizes = {name: list(shape) for name, shape in self._shapes.items()}
        for name, kept in keep.items():
            group = self._groups[name]
            for part in group.slices:
                if part.parameter in sizes:
                    sizes[part.parameter][part.axis] -= (group.units - len(kept)) * part.indices.shape[1]
        return self._cost({name: tuple(shape) for name, shape in sizes.items()})

    def _cost(self, sizes: Mapping[str, tuple[int, ...]]) -> float:
        if self._kernels is not None:
            kernels, before = self._kernels, self._shapes
            return sum(time_of(found, kernels, before[name], sizes[name]) for name, found in self._uses.items())
        kept = {name: prod(sizes[name]) for name, count in self._macs.items() if count > 0}
        left: int = sum(self._macs[name] // prod(self._shapes[name]) * size for name, size in kept.items())
        return left


def reach(
    budget: Budget,
    choose: Callable[[float], KeptUnits],
    share: float,
    *,
    below: Callable[[float], KeptUnits] | None = None,
    worth: Worth | None = None,
    best: Callable[[str, int], NDArray[np.int64]] | None = None,
) -> KeptUnits:
    """Find the cut that leaves a given share of a network's multiply-accumulates, or of its time.

    The share of units to remove is found by bisection. Where the last step is too coarse, because units
    of many layers go at the same place or layers keep multiples of many units, only some of those layers take it;
    and where that is too coarse still, one of them takes a part of it. Of a time at most the share is left, and how
    much less is not asked: no part of a step would be faster than none.

    Args:
        budget: of the network before the cut.
        choose: from a share of units to remove, 0 to 1, to the units that each group keeps; the more
            are to be removed, the fewer it keeps.
        share: cost afterwards / before, above 0 and at most 1.
        below: gives the fewest units that each group may keep instead where `choose` gives the most, rounded
            to the next multiple below and above, say; by default the same.
        worth: which layers take the last step first, those of which it is highest; by default in their order.
        best: the units that a group keeps if it keeps so many; by default none takes a part of a step.

    Returns:
        Group name -> the units that stay, within 5 percent of what was asked.

    Raises:
        ValueError: share is out of range.
        TechniqueRefused: no cut comes that close; the message says how close the closest comes.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    if budget.total == 0:
        raise TechniqueRefused(f"the network has no layer whose {budget.what} could be counted")
    target = share * budget.total
    found = list(_candidates(budget, choose, below or choose, target, worth))
    closest = _closest(budget, found, target)
    if _missed(budget, closest, target) and best is not None and not budget.timed:
        closest = _closest(budget, [closest, *_in_part(budget, found, target, best)], target)
    if _missed(budget, closest, target):
        got = budget.after(closest)
        raise TechniqueRefused(
            f"{share:.1%} of the {budget.what} can't be reached by removing units of {len(closest)} groups: "
            f"the closest is {got / budget.total:.1%}" + ("" if budget.timed else f" ({got:,} of {budget.total:,})")
        )
    return closest


def _closest(budget: Budget, found: list[KeptUnits], target: float) -> KeptUnits:
    if budget.timed:
        # Of those within the time, the slowest: it keeps most.
        within = [keep for keep in found if budget.after(keep) <= target * (1 + TOLERANCE)]
        return max(within, key=budget.after) if within else min(found, key=budget.after)
    return min(found, key=lambda keep: abs(budget.after(keep) - target))


def _missed(budget: Budget, keep: KeptUnits, target: float) -> bool:
    over = budget.after(keep) - target
    return (over if budget.timed else abs(over)) > TOLERANCE * target


def _candidates(
    budget: Budget,
    choose: Callable[[float], KeptUnits],
    below: Callable[[float], KeptUnits],
    target: float,
    worth: Worth | None,
) -> Iterator[KeptUnits]:
    yield choose(0.0)
    yield below(1.0)
    if not budget.after(below(1.0)) < target < budget.after(choose(0.0)):
        return
    # The most that can be removed if every group keeps the more, and the least if every one keeps the fewer.
    most, _ = _bisected(lambda ratio: budget.after(choose(ratio)) >= target)
    _, least = _bisected(lambda ratio: budget.after(below(ratio)) >= target)
    if least < most:
        most = least = (least + most) / 2
    more, fewer = choose(most), below(least)
    yield more
    yield fewer
    # Between these two only one step is left: take it in as many groups as fit.
    stepping = [name for name, kept in fewer.items() if len(kept) < len(more[name])]
    if worth is not None:
        gains = {name: worth(more, name, fewer[name]) for name in stepping}
        stepping.sort(key=lambda name: -gains[name])
    mixed = dict(more)
    for name in stepping:
        stepped = {**mixed, name: fewer[name]}
        if budget.after(stepped) >= target:
            mixed = stepped
        yield stepped


def _bisected(holds: Callable[[float], bool]) -> tuple[float, float]:
    """The last ratio at which something holds, and the first at which it does not; it does at 0, not at 1."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def _in_part(
    budget: Budget, found: list[KeptUnits], target: float, best: Callable[[str, int], NDArray[np.int64]]
) -> Iterator[KeptUnits]:
    """Cuts of which one group alone keeps a number of units that is no multiple of what was asked."""
    above = [keep for keep in found if budget.after(keep) >= target]
    if not above:
        return
    start = min(above, key=budget.after)
    for multiple in (4, 1):  # the first is what most kernels ask for at least
        any_close = False
        for name, kept in start.items():
            # In multiples: too few, and enough. No group loses more than a step of those that were tried.
            fewer = max((len(keep[name]) for keep in found if len(keep[name]) < len(kept)), default=len(kept))
            low, high = fewer // multiple, len(kept) // multiple
            while high - low > 1:
                middle = (low + high) // 2
                stepped = {**start, name: best(name, middle * multiple)}
                any_close |= abs(budget.after(stepped) - target) <= TOLERANCE * target
                yield stepped
                low, high = (middle, high) if budget.after(stepped) < target else (low, middle)
        if any_close:
            return
