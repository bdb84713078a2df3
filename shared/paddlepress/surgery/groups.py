"""What a dependency graph consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MIXED = ", a normalization spans them"
Kind = Literal["filters", "neurons", "heads"]
Direction = Literal["out", "in", ""]


@dataclass(frozen=True, eq=False)
class Slice:
    """One parameter axis that belongs to a group.

    Attributes:
        parameter: its name, such as `conv1.weight`.
        axis: which of its axes.
        indices: int64 array [units, k]: for each unit of the group the indices along the axis that go
            with it, ascending; flattening 7x7 pixels makes a channel 49 columns, so k is 49 there.
        size: of the axis when it was traced.
        direction: `out` where the parameter makes the units by a product, `in` where it reads them; empty for
            what belongs to them one by one, such as biases, norms and tables that are added.
    """

    parameter: str
    axis: int
    indices: NDArray[np.int64]
    size: int
    direction: Direction = ""


@dataclass(frozen=True, eq=False)
class Group:
    """Units (channels, neurons, attention heads) that can only be removed together.

    Attributes:
        name: the first producing layer's, such as `conv1`; for heads that of the attention layer around it.
            Where that falls into several groups, the later ones are `conv1#2`, `conv1#3`, ...
        units: how many there are, at least two.
        producers: the layers whose output units these are (convolutions, dense and recurrent layers,
            embeddings), in the order of the forward pass. A depthwise convolution is one, along with
            what feeds it.
        consumers: the layers that read them.
        slices: every parameter axis to cut.
        kind: `heads` where a unit is a whole head of attention, else `filters` if a convolution is among
            the producers, else `neurons`.
        mixed: whether a layer or group norm takes its statistics over the units. Removing some changes
            those, so the network then differs from one whose units are only silenced.
        counts: layers, and for each its attribute that says how many units there are, such as `num_heads`.
    """

    name: str
    units: int
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    slices: tuple[Slice, ...]
    kind: Kind
    mixed: bool = False
    counts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Graph:
    """What may be narrowed in a network, and what may not.

    Attributes:
        groups: in the order of the forward pass; only those that can be narrowed safely.
        fixed: layer name -> why none of its outputs can be removed.
    """

    groups: tuple[Group, ...]
    fixed: dict[str, str]

    def group(self, name: str) -> Group | None:
        """The group of a name."""
        return next((group for group in self.groups if group.name == name), None)


def layer_of(parameter: str) -> str:
    """The layer that owns a parameter; a parameter of the network itself stands for its own."""
    return parameter.rpartition(".")[0] or parameter


def describe(graph: Graph) -> str:
    """A graph as text: each group with its size and members, each fixed layer with the reason."""
    lines = []
    for group in graph.groups:
        lines.append(f"{group.name}: {group.units} {group.kind}" + MIXED * group.mixed)
        others = [name for name in group.producers if name != group.name]
        if others:
            lines.append(f"  made with  {', '.join(others)}")
        if group.consumers:
            lines.append(f"  read by    {', '.join(group.consumers)}")
        for part in group.slices:
            per_unit = part.indices.shape[1]
            lines.append(f"  cuts       {part.parameter} axis {part.axis}" + (f", {per_unit} each" * (per_unit > 1)))
        lines.extend(f"  sets       {layer or 'the network'}: {attribute}" for layer, attribute in group.counts)
    if graph.fixed:
        lines.append("fixed:")
        lines.extend(f"  {layer}: {reason}" for layer, reason in graph.fixed.items())
    return "\n".join(lines)
