"""The dependency graph of a network: which units can be removed, and what goes with each.

After DepGraph: Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.errors import UnknownName
from paddlepress.surgery import edits, program, trial
from paddlepress.surgery import narrow as narrowing
from paddlepress.surgery.groups import Graph, Group, Kind, Slice, describe, layer_of
from paddlepress.surgery.propagate import Propagation, Role
from paddlepress.surgery.rules import RULES
from paddlepress.surgery.units import SINGLE, Axis, Resolved

if TYPE_CHECKING:
    from paddlepress.model import Model

__all__ = ["Graph", "Group", "Slice", "describe", "narrow", "narrow_all", "trace"]

UNTRUE = "would compute something else or fail without some of its units: sizes are written in the network's code"


def trace(model: Model) -> Graph:
    """The dependency graph of a model's network; the network is left as it was.

    The network's inputs and outputs are never part of a group, and nothing is that goes through an
    operation whose effect is not known.

    Raises:
        TechniqueRefused: Paddle can't trace the network.
    """
    flow = Propagation(program.read(model), RULES)
    resolved = flow.units.resolve()
    candidates = _groups(flow, resolved)
    doubtful = [found.group for found in candidates if found.doubtful or _unusual(model, found.group)]
    fine = set(trial.sound(model, doubtful))
    refused = set(doubtful) - fine
    groups = tuple(found.group for found in candidates if found.group not in refused)
    return Graph(groups, _fixed(flow, resolved, groups, refused))


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
        ValueError: as for `narrow`; the network is then unchanged.
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
    edit = narrowing.cut(model, chosen)
    return model if edit is None else model.with_edits(edit)


def _refreshed(graph: Graph, group: Group) -> Group:
    """The group as it stands after other groups were cut that share an axis with it."""
    now = graph.group(group.name)
    if now is None or now.units != group.units or now.producers != group.producers:
        raise ValueError(f"group {group.name!r} was narrowed since it was traced; trace the model again")
    return now


@dataclass(frozen=True)
class _Candidate:
    group: Group
    doubtful: bool


def _groups(flow: Propagation, resolved: Resolved) -> list[_Candidate]:
    """Collect free units by the parameter axes they lie on, and how many indices of each."""
    axes = list(flow.units.axes)
    members: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    for number, axis in enumerate(axes):
        roots = resolved.roots[flow.units.axes[axis]]
        order = np.argsort(roots, kind="stable")
        found, starts = np.unique(roots[order], return_index=True)
        for root, indices in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            if root not in resolved.reasons:
                members.setdefault(root, []).append((number, indices))
    outputs = {number for number, axis in enumerate(axes) if _direction(flow.roles, axis) == "out"}
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for root, parts in members.items():
        signature = tuple((number, indices.size) for number, indices in parts)
        if any(number in outputs for number, _ in signature):
            alike.setdefault(signature, []).append(root)
    position = {axis: number for number, axis in enumerate(flow.roles)}
    first = {signature: min((position[axes[n]], n) for n, _ in signature if n in outputs) for signature in alike}
    candidates = []
    taken: dict[str, int] = {}
    for signature in sorted(alike, key=lambda found: (first[found][0], members[alike[found][0]][0][1][0])):
        if len(alike[signature]) < 2:
            continue
        lead = [number for number, _ in signature].index(first[signature][1])
        units = sorted(alike[signature], key=lambda root: int(members[root][lead][1][0]))
        slices = []
        for at, (number, _) in enumerate(signature):
            name, along = axes[number]
            indices = np.stack([members[root][at][1] for root in units])
            slices.append(Slice(name, along, indices, flow.units.axes[name, along].size))
        group = _named(flow.roles, slices, taken)
        candidates.append(_Candidate(group, not resolved.doubtful.isdisjoint(units)))
    return candidates


def _named(roles: dict[Axis, Role], slices: list[Slice], taken: dict[str, int]) -> Group:
    members = {(part.parameter, part.axis) for part in slices}
    mine = [(axis, role) for axis, role in roles.items() if axis in members]
    producers = tuple(dict.fromkeys(layer_of(axis[0]) for axis, role in mine if role.direction == "out"))
    consumers = tuple(dict.fromkeys(layer_of(axis[0]) for axis, role in mine if role.direction == "in"))
    convolutional = any(role.kind == "filters" for _, role in mine if role.direction == "out")
    kind: Kind = "filters" if convolutional else "neurons"
    name = producers[0]
    taken[name] = taken.get(name, 0) + 1
    if taken[name] > 1:
        name = f"{name}#{taken[name]}"
    return Group(name, len(slices[0].indices), producers, consumers, tuple(slices), kind)


def _direction(roles: dict[Axis, Role], axis: Axis) -> str:
    return roles[axis].direction if axis in roles else ""


def _unusual(model: Model, group: Group) -> bool:
    """Whether a layer of the group may hold sizes that surgery does not set."""
    return any(not _known(edits.find(model.network, part.parameter.rpartition(".")[0])) for part in group.slices)


def _known(layer: Any) -> bool:
    from paddle import nn
    from paddle.nn.layer.conv import _ConvNd
    from paddle.nn.layer.norm import _BatchNormBase, _InstanceNormBase

    return isinstance(layer, _ConvNd | nn.Linear | nn.PReLU | nn.BatchNorm | _BatchNormBase | _InstanceNormBase)


def _fixed(flow: Propagation, resolved: Resolved, groups: tuple[Group, ...], refused: set[Group]) -> dict[str, str]:
    free = {name for group in groups for name in group.producers}
    untrue = {name for group in refused for name in group.producers}
    fixed: dict[str, str] = {}
    for (parameter, axis), role in flow.roles.items():
        layer = layer_of(parameter)
        if role.direction != "out" or layer in free or layer in fixed:
            continue
        if layer in untrue:
            fixed[layer] = UNTRUE
            continue
        labels = flow.units.axes.get((parameter, axis), np.zeros(0, np.int64))
        reasons = (resolved.reasons.get(int(root)) for root in resolved.roots[labels])
        fixed[layer] = next((reason for reason in reasons if reason), SINGLE)
    return fixed
