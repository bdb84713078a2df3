"""The dependency graph of a network: which units can be removed, and what goes with each.

After DepGraph: Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import UnknownName
from paddlepress.surgery import cut_check, grouping, program
from paddlepress.surgery import narrow as narrowing
from paddlepress.surgery.groups import Graph, Group, Slice, describe
from paddlepress.surgery.propagate import Propagation
from paddlepress.surgery.rules import RULES

if TYPE_CHECKING:
    from paddlepress.network.model import Model

__all__ = ["Graph", "Group", "Slice", "describe", "narrow", "narrow_all", "trace"]


def trace(model: Model) -> Graph:
    """The dependency graph of a model's network; the network is left as it was.

    The network's inputs and outputs are never part of a group, and nothing is that goes through an
    operation whose effect is not known.

    Raises:
        TechniqueRefused: Paddle can't trace the network, or it does not run on random inputs.
    """
    traced = program.read(model)
    flow = Propagation(traced, RULES)
    resolved = flow.units.resolve()
    found = grouping.candidates(model.network, flow, resolved)
    every = [candidate.group for candidate in found]
    claimed = grouping.claimed_twice(every)
    doubtful = [candidate.group for candidate in found if candidate.doubtful and candidate.group not in claimed]
    sure = [candidate.group for candidate in found if not candidate.doubtful]
    fine, refused = cut_check.sound(model, sure, doubtful)
    groups = tuple(group for group in every if group in fine)
    refused |= dict.fromkeys(claimed, grouping.CLAIMED)
    return Graph(groups, grouping.fixed(flow, resolved, groups, refused))


def narrow(model: Model, group: Group, keep: NDArray[np.int64]) -> Model:
    """Remove units from a model's network, in place.

    The groups of one trace can be narrowed one after another, each once.

    Args:
        model: its network's parameters are replaced, weights and order kept; scales of quantized weights follow.
        group: of `trace`.
        keep: int array of the units that stay, sorted and unique, at least one.

    Returns:
        The model with the edit recorded; the network is the same object.

    Raises:
        ValueError: keep is not that, or the group itself was narrowed since it was traced.
        TechniqueRefused: without just these units the network would fail or compute something else.
    """
    kept = narrowing.checked(group, keep)
    if narrowing.is_stale(model.network, group):
        group = _refreshed(trace(model), group)
    return _recorded(model, [(group, kept)])


def narrow_all(model: Model, keep: Mapping[str, NDArray[np.int64]], graph: Graph | None = None) -> Model:
    """Remove units of several groups at once, recorded as one edit.

    Args:
        model: as for `narrow`.
        keep: group name -> the units that stay.
        graph: what `trace` gave for the model; it is traced where this is left out.

    Raises:
        UnknownName: a group that the network does not have.
        ValueError, TechniqueRefused: as for `narrow`; the network is then unchanged.
    """
    graph = graph or trace(model)
    chosen = []
    for name, kept in keep.items():
        group = graph.group(name)
        if group is None:
            raise UnknownName("group of units", name, [group.name for group in graph.groups])
        chosen.append((group, narrowing.checked(group, kept)))
    if any(narrowing.is_stale(model.network, group) for group, _ in chosen):
        now = trace(model)
        chosen = [(_refreshed(now, group), kept) for group, kept in chosen]
    return _recorded(model, chosen)


def _recorded(model: Model, chosen: list[tuple[Group, NDArray[np.int64]]]) -> Model:
    cut_check.check(model, chosen)
    edit = narrowing.cut(model, chosen)
    return model if edit is None else model.with_edits(edit)


def _refreshed(graph: Graph, group: Group) -> Group:
    """The group as it stands after other groups were cut that share an axis with it."""
    now = graph.group(group.name)
    if now is None or now.units != group.units or now.producers != group.producers:
        raise ValueError(f"group {group.name!r} was narrowed since it was traced; trace the model again")
    return now
