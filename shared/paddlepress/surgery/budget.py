"""How much to cut so that a network keeps a given share of its multiply-accumulates.

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

from paddlepress.errors import TechniqueRefused
from paddlepress.surgery import edits
from paddlepress.surgery.groups import Graph
from paddlepress.surgery.macs import macs_of_weights

if TYPE_CHECKING:
    from paddlepress.model import Model

Keep = dict[str, NDArray[np.int64]]

TOLERANCE = 0.05
"""How far from what was asked, relative to it, a cut may end."""
_HALVINGS = 24


class Budget:
    """What cuts leave of a network's multiply-accumulates.

    Attributes:
        total: multiply-accumulates at batch 1 before any cut.
    """

    def __init__(self, model: Model, graph: Graph) -> None:
        """Args: model, graph: the graph is what `surgery.graph.trace` gave for the model as it is now.

        Raises:
            TechniqueRefused: the multiply-accumulates can't be counted, see `surgery.macs`.
        """
        self._macs = macs_of_weights(model)
        self._shapes = {name: tuple(edits.parameter(model.network, name).shape) for name in self._macs}
        self._groups = {group.name: group for group in graph.groups}
        self.total = sum(self._macs.values())

    def after(self, keep: Mapping[str, NDArray[np.int64]]) -> int:
        """Multiply-accumulates once only these units are left; groups that are not named stay whole.

        Args:
            keep: group name -> the units that stay.
        """
        sizes = {name: list(shape) for name, shape in self._shapes.items()}
        for name, kept in keep.items():
            group = self._groups[name]
            for part in group.slices:
                if part.parameter in sizes:
                    sizes[part.parameter][part.axis] -= (group.units - len(kept)) * part.indices.shape[1]
        return sum(
            count // prod(self._shapes[name]) * prod(sizes[name]) for name, count in self._macs.items() if count > 0
        )


def reach(
    model: Model, graph: Graph, choose: Callable[[float], dict[str, NDArray[np.int64]]], share: float
) -> dict[str, NDArray[np.int64]]:
    """Find the cut that leaves a given share of a network's multiply-accumulates.

    The share of units to remove is found by bisection. Where the last step is too coarse, because units
    of many layers go at the same place, only some of those layers take it.

    Args:
        model: the network before the cut.
        graph: what `surgery.graph.trace` gave for it.
        choose: from a share of units to remove, 0 to 1, to the units that each group keeps; the more
            are to be removed, the fewer it keeps.
        share: multiply-accumulates afterwards / before, above 0 and at most 1.

    Returns:
        Group name -> the units that stay, as `choose` gave them, within 5 percent of what was asked.

    Raises:
        ValueError: share is out of range.
        TechniqueRefused: no cut comes that close; the message says how close the closest comes.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    budget = Budget(model, graph)
    if budget.total == 0:
        raise TechniqueRefused("the network has no layer whose multiply-accumulates could be counted")
    target = share * budget.total
    best = min(_candidates(budget, choose, target), key=lambda keep: abs(budget.after(keep) - target))
    got = budget.after(best)
    if abs(got - target) > TOLERANCE * target:
        raise TechniqueRefused(
            f"{share:.1%} of the multiply-accumulates can't be reached by removing units of "
            f"{len(best)} groups: the closest is {got / budget.total:.1%} ({got:,} of {budget.total:,})"
        )
    return best


def _candidates(budget: Budget, choose: Callable[[float], Keep], target: float) -> Iterator[Keep]:
    low, high = 0.0, 1.0
    more, fewer = choose(low), choose(high)
    yield more
    yield fewer
    if not budget.after(fewer) < target < budget.after(more):
        return
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = choose(middle)
        yield found
        if budget.after(found) >= target:
            low, more = middle, found
        else:
            high, fewer = middle, found
    # Between these two only one step is left: take it in as many groups as fit.
    mixed = dict(more)
    for name, kept in fewer.items():
        stepped = {**mixed, name: kept}
        if budget.after(stepped) >= target:
            mixed = stepped
        yield stepped
