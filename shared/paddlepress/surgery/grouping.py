"""Put the units that a walk through a network found together into groups, and say why others are fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.network import edits
from paddlepress.surgery.groups import Direction, Group, Kind, Slice, layer_of
from paddlepress.surgery.linked_indices import SINGLE, Axis, Resolved
from paddlepress.surgery.propagate import Propagation, Role

if TYPE_CHECKING:
    import paddle

CLAIMED = (
    "shares the attribute that states how many units there are with others: sizes are written in the network's code"
)


@dataclass(frozen=True)
class Candidate:
    """A group, and whether removing its units has to be tried out before it counts as safe."""

    group: Group
    doubtful: bool


def candidates(network: paddle.nn.Layer, flow: Propagation, resolved: Resolved) -> list[Candidate]:
    """Collect free units by the parameter axes they lie on, and how many indices of each."""
    axes = list(flow.units.axes)
    members = _members(flow, resolved)
    outputs = {number for number, axis in enumerate(axes) if _direction(flow.roles, axis) == "out"}
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for root, parts in members.items():
        signature = tuple((number, indices.size) for number, indices in parts)
        if any(number in outputs for number, _ in signature):
            alike.setdefault(signature, []).append(root)
    position = {axis: number for number, axis in enumerate(flow.roles)}
    first = {signature: min((position[axes[n]], n) for n, _ in signature if n in outputs) for signature in alike}
    found = []
    taken: dict[str, int] = {}
    for signature in sorted(alike, key=lambda key: (first[key][0], members[alike[key][0]][0][1][0])):
        if len(alike[signature]) < 2:
            continue
        lead = [number for number, _ in signature].index(first[signature][1])
        units = sorted(alike[signature], key=lambda root: int(members[root][lead][1][0]))
        slices = []
        for at, (number, _) in enumerate(signature):
            name, along = axes[number]
            indices = np.stack([members[root][at][1] for root in units])
            size, direction = flow.units.axes[name, along].size, _direction(flow.roles, axes[number])
            slices.append(Slice(name, along, indices, size, direction))
        # One feature each would be channels that are multiplied with each other.
        several = any(number in outputs and each > 1 for number, each in signature)
        heads = several and resolved.heads.issuperset(units)
        mixed = not resolved.mixed.isdisjoint(units)
        group = _group(network, flow.roles, slices, heads=heads, mixed=mixed, taken=taken)
        doubtful = mixed or not resolved.doubtful.isdisjoint(units) or _unusual(network, group)
        found.append(Candidate(group, doubtful))
    return found


def _members(flow: Propagation, resolved: Resolved) -> dict[int, list[tuple[int, NDArray[np.int64]]]]:
    """For each free unit the axes that it lies on, by number, and its indices along each."""
    members: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    for number, labels in enumerate(flow.units.axes.values()):
        roots = resolved.roots[labels]
        order = np.argsort(roots, kind="stable")
        found, starts = np.unique(roots[order], return_index=True)
        for root, indices in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            if root not in resolved.reasons:
                members.setdefault(root, []).append((number, indices))
    return members


def _group(
    network: paddle.nn.Layer,
    roles: dict[Axis, Role],
    slices: list[Slice],
    *,
    heads: bool,
    mixed: bool,
    taken: dict[str, int],
) -> Group:
    members = {(part.parameter, part.axis) for part in slices}
    mine = [(axis, role) for axis, role in roles.items() if axis in members]
    producers = tuple(dict.fromkeys(layer_of(axis[0]) for axis, role in mine if role.direction == "out"))
    consumers = tuple(dict.fromkeys(layer_of(axis[0]) for axis, role in mine if role.direction == "in"))
    convolutional = any(role.kind == "filters" for _, role in mine if role.direction == "out")
    kind: Kind = "heads" if heads else "filters" if convolutional else "neurons"
    units = len(slices[0].indices)
    name = (heads and _around(producers)) or producers[0]
    taken[name] = taken.get(name, 0) + 1
    if taken[name] > 1:
        name = f"{name}#{taken[name]}"
    counts = _counts(network, producers, units) if heads else ()
    return Group(name, units, producers, consumers, tuple(slices), kind, mixed, counts)


def _around(layers: tuple[str, ...]) -> str:
    """The innermost layer that holds all of these; empty for the network itself."""
    paths = [layer.split(".")[:-1] for layer in layers]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def _counts(network: paddle.nn.Layer, producers: tuple[str, ...], heads: int) -> tuple[tuple[str, str], ...]:
    """The attributes that state the number of heads, of the innermost layer around them that has any."""
    name = _around(producers)
    while True:
        own = vars(edits.find(network, name))
        found = tuple((name, attribute) for attribute in sorted(edits.HEAD_COUNTS) if own.get(attribute) == heads)
        if found or not name:
            return found
        name = name.rpartition(".")[0]


def _direction(roles: dict[Axis, Role], axis: Axis) -> Direction:
    return roles[axis].direction if axis in roles else ""


def _unusual(network: paddle.nn.Layer, group: Group) -> bool:
    """Whether a layer of the group may hold sizes that surgery does not set."""
    return any(not _known(edits.find(network, part.parameter.rpartition(".")[0])) for part in group.slices)


def _known(layer: Any) -> bool:
    from paddle import nn
    from paddle.nn.layer.conv import _ConvNd
    from paddle.nn.layer.norm import _BatchNormBase, _InstanceNormBase
    from paddle.nn.layer.rnn import RNNBase

    norms = nn.BatchNorm | _BatchNormBase | _InstanceNormBase | nn.LayerNorm | nn.GroupNorm
    return isinstance(layer, _ConvNd | nn.Linear | nn.PReLU | nn.Embedding | RNNBase | norms)


def claimed_twice(groups: list[Group]) -> set[Group]:
    """Groups that state their number of units in an attribute which another group uses too."""
    claims: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        for place in group.counts:
            claims.setdefault(place, []).append(group)
    return {group for claimants in claims.values() if len(claimants) > 1 for group in claimants}


def fixed(
    flow: Propagation, resolved: Resolved, groups: tuple[Group, ...], refused: dict[Group, str]
) -> dict[str, str]:
    """Each layer none of whose outputs can be removed, with the reason; those of refused groups are given."""
    free = {name for group in groups for name in group.producers}
    untrue = {name: reason for group, reason in refused.items() for name in group.producers}
    found: dict[str, str] = {}
    for (parameter, axis), role in flow.roles.items():
        layer = layer_of(parameter)
        if role.direction != "out" or layer in free or layer in found:
            continue
        if layer in untrue:
            found[layer] = untrue[layer]
            continue
        labels = flow.units.axes.get((parameter, axis), np.zeros(0, np.int64))
        reasons = (resolved.reasons.get(int(root)) for root in resolved.roots[labels])
        found[layer] = next((reason for reason in reasons if reason), SINGLE)
    return found
