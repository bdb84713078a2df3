"""Where the values of an ONNX graph are rounded to 8-bit grids: as early as that changes nothing.

Rounding is monotonic, so the largest of rounded values is the rounded largest value: max pooling, and whatever
only moves values, works on integers. What such operators connect, a region, is rounded where it begins, if it all
has one grid. A rectifier or clip is superfluous there where the grid ends where the clip does, and clips integers
where it goes on. Rounding right after a product lets ONNX Runtime compute it on integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paddlepress.deployment.graph import Graph
from paddlepress.network.edits import QuantizeOutput

Grid = tuple[float, int]
"""Scale and zero point of unsigned 8-bit integers."""

_COMMUTES = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat"}
)


@dataclass
class Rounding:
    """A value that is read from a grid.

    Attributes:
        value: its name.
        grid: where it is read from.
        readers: the products that read it so as their first input.
        outputs: the edits by which everybody else reads it so too.
        starts: the values that are rounded in the end: this one, or those that it is made from.
    """

    value: str
    grid: Grid
    readers: list[Any] = field(default_factory=list)
    outputs: list[QuantizeOutput] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weights: frozenset[str] = frozenset()


def place(graph: Graph, roundings: list[Rounding]) -> list[Rounding]:
    """Insert QuantizeLinear and DequantizeLinear for all roundings.

    Returns:
        The roundings, with `starts` and `weights` filled in: the weights of the products that read it.
    """
    for rounding in roundings:
        rounding.weights = frozenset(str(node.input[1]) for node in rounding.readers)
    found = [(region, region.grid()) for region in _Regions(graph, roundings).found()]
    for region, grid in found:
        if grid is not None:
            region.put_on(grid)
    for region, grid in found:
        if grid is None:
            region.put_in_parts()
    return roundings


def clips(grid: Grid, low: float, high: float) -> bool:
    """Whether everything outside of `low` to `high` is rounded to the ends of a grid, as they are."""
    scale, zero_point = grid
    lowest, highest = (round(bound / scale) + zero_point for bound in (max(low, -1e30), min(high, 1e30)))
    return lowest <= 0 and highest >= 255


def _clip(graph: Graph, node: Any) -> tuple[float, float] | None:
    """Between what a node clips its input; None if it does something else."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    if node.op_type != "Clip":
        return None
    bounds = [-float("inf"), float("inf")]
    for place, name in enumerate(node.input[1:3]):
        if name and name not in graph.values:
            return None
        if name:
            bounds[place] = float(graph.values[name])
    return bounds[0], bounds[1]


def _data(node: Any) -> list[str]:
    """The values that a node which commutes with rounding moves, without those that say where to."""
    return list(node.input) if node.op_type == "Concat" else list(node.input[:1])


def _rewire(node: Any, old: str, new: str) -> None:
    node.input[:] = [new if name == old else name for name in node.input]


class _Region:
    """Values of a graph that operators connect which commute with rounding.

    Attributes:
        values: their names.
        inner: those operators.
        roundings: which of the values are read rounded, and by whom.
    """

    def __init__(self, graph: Graph, value: str) -> None:
        self.graph = graph
        self.values = [value]
        self.inner: list[Any] = []
        self.roundings: list[Rounding] = []

    def take(self, other: _Region) -> None:
        """Become one with another region."""
        self.values += other.values
        self.inner += other.inner
        self.roundings += other.roundings

    def users(self) -> Iterator[tuple[str, Any]]:
        """The nodes outside that read a value, and which; what only asks for its shape does not read it."""
        inner, values = {id(node) for node in self.inner}, self._names()
        for node in self.graph.nodes:
            if id(node) in inner or node.op_type == "Shape":
                continue
            for name in dict.fromkeys(node.input):
                if name in values:
                    yield name, node

    def _names(self) -> frozenset[str]:
        return frozenset(self.values)

    def grid(self) -> Grid | None:
        """The grid that the whole region can be put on without a change for anybody; None if there is none."""
        own = {rounding.grid for rounding in self.roundings if rounding.outputs}
        grids = own or {rounding.grid for rounding in self.roundings}
        if len(grids) != 1 or self._names() & self.graph.outputs:
            return None
        if own:
            return grids.pop() if all(self._is_rounded(value) for value in self.starts()) else None
        readers = {(rounding.value, id(node)) for rounding in self.roundings for node in rounding.readers}
        return grids.pop() if all((name, id(node)) in readers for name, node in self.users()) else None

    def starts(self) -> list[str]:
        """The values that no operator of the region makes."""
        made = {output for node in self.inner for output in node.output}
        return [value for value in self.values if value not in made]

    def _is_rounded(self, value: str) -> bool:
        """Whether all who read a value read it rounded, here or behind operators that commute with that."""
        if any(rounding.value == value and rounding.outputs for rounding in self.roundings):
            return True
        inner = [node for node in self.inner if value in _data(node)]
        users = [node for name, node in self.users() if name == value]
        outputs = [output for node in inner for output in node.output if output]
        return bool(inner) and not users and all(self._is_rounded(output) for output in outputs)

    def put_on(self, grid: Grid) -> None:
        """Round the values where they begin, and have everybody read them from the grid."""
        graph = self.graph
        users = list(self.users())
        constants = (graph.constant(grid[0]), graph.constant(grid[1], np.uint8))
        starts = self.starts()
        codes = {value: graph.node("QuantizeLinear", value, *constants) for value in starts}
        waiting = list(self.inner)
        while waiting:
            node = next(node for node in waiting if all(name in codes for name in _data(node)))
            waiting.remove(node)
            bounds = _clip(graph, node)
            if bounds is not None:
                codes[node.output[0]] = _clipped(graph, codes[node.input[0]], grid, bounds)
                for asking in graph.consumers()[node.output[0]]:
                    if asking.op_type == "Shape":  # that of the codes is the same
                        _rewire(asking, node.output[0], codes[node.output[0]])
                graph.drop(node)
                continue
            for name in _data(node):
                _rewire(node, name, codes[name])
            codes.update({output: output for output in node.output})
        own = {(id(node), rounding.value): rounding for rounding in self.roundings for node in rounding.readers}
        values = {value: graph.node("DequantizeLinear", codes[value], *constants) for value in {v for v, _ in users}}
        again: dict[tuple[str, Grid], str] = {}
        for value, node in users:
            rounding = own.get((id(node), value))
            read = values[value]
            if rounding is not None and rounding.grid != grid:
                key = (value, rounding.grid)
                if key not in again:
                    again[key] = _rounded(graph, read, rounding.grid)
                read = again[key]
            _rewire(node, value, read)
        for rounding in self.roundings:
            rounding.starts = starts

    def put_in_parts(self) -> None:
        """Round each value by itself: for all where everybody reads it rounded, else for the readers who do."""
        for rounding in [rounding for rounding in self.roundings if rounding.outputs]:
            _round_for_all(self.graph, rounding, self.roundings)
        for rounding in [rounding for rounding in self.roundings if not rounding.outputs]:
            _round_for_readers(self.graph, rounding)


class _Regions:
    """The regions of a graph that have something to round."""

    def __init__(self, graph: Graph, roundings: list[Rounding]) -> None:
        self._graph = graph
        self._by_value: dict[str, _Region] = {}
        for node in graph.nodes:
            if node.op_type in _COMMUTES:
                values = [*_data(node), *(output for output in node.output if output)]
                region = self._of(values[0])
                for value in values[1:]:
                    self._join(region, self._of(value))
                region.inner.append(node)
        for rounding in roundings:
            self._of(rounding.value).roundings.append(rounding)
        while any(self._join_clipped(node) for node in graph.nodes):
            pass

    def found(self) -> list[_Region]:
        """Those regions."""
        return list({id(region): region for region in self._by_value.values() if region.roundings}.values())

    def _of(self, value: str) -> _Region:
        if value not in self._by_value:
            self._by_value[value] = _Region(self._graph, value)
        return self._by_value[value]

    def _join(self, region: _Region, other: _Region) -> None:
        if region is not other:
            region.take(other)
            self._by_value.update(dict.fromkeys(other.values, region))

    def _join_clipped(self, node: Any) -> bool:
        """Make a clip part of the regions before and behind it, which become one; whether that was done."""
        if _clip(self._graph, node) is None:
            return False
        before, behind = self._of(node.input[0]), self._of(node.output[0])
        if before is behind:
            return False
        grids = {rounding.grid for region in (before, behind) for rounding in region.roundings}
        if len(grids) != 1 or set(before.values) & self._graph.outputs:
            return False
        if not before.roundings and any(user is not node for _, user in before.users()):
            return False  # others read it as it is
        self._join(behind, before)
        behind.inner.append(node)
        return True


def _clipped(graph: Graph, codes: str, grid: Grid, bounds: tuple[float, float]) -> str:
    """Codes of a grid clipped as their values would be; the very codes where the grid ends there anyway."""
    if clips(grid, *bounds):
        return codes
    ends = [round(min(max(bound, -1e30), 1e30) / grid[0]) + grid[1] for bound in bounds]
    return graph.node("Clip", codes, *(graph.constant(min(max(end, 0), 255), np.uint8) for end in ends))


def _rounded(graph: Graph, value: str, grid: Grid) -> str:
    constants = (graph.constant(grid[0]), graph.constant(grid[1], np.uint8))
    return graph.node("DequantizeLinear", graph.node("QuantizeLinear", value, *constants), *constants)


def _round_for_all(graph: Graph, rounding: Rounding, others: list[Rounding]) -> None:
    """Round a value, for all who read it, where it is; `others` that read it read what it is then."""
    users = graph.consumers()[rounding.value]
    rounding.starts = [rounding.value]
    rounded = _rounded(graph, rounding.value, rounding.grid)
    for node in users:
        if node.op_type != "Shape":
            _rewire(node, rounding.value, rounded)
    for other in others:
        if other is not rounding and other.value == rounding.value:
            other.value = rounded


def _round_for_readers(graph: Graph, rounding: Rounding) -> None:
    """Round a value for the products that read it, as early as nobody else notices."""
    passed = _passable(graph, rounding)
    start = passed[-1].input[0] if passed else rounding.value
    constants = (graph.constant(rounding.grid[0]), graph.constant(rounding.grid[1], np.uint8))
    codes = graph.node("QuantizeLinear", start, *constants)
    for node in reversed(passed):
        if node.op_type in _COMMUTES:
            node.input[0], codes = codes, node.output[0]
        else:
            graph.drop(node)
    rounded = graph.node("DequantizeLinear", codes, *constants)
    for node in rounding.readers:
        _rewire(node, rounding.value, rounded)
    rounding.starts = [start]


def _passable(graph: Graph, rounding: Rounding) -> list[Any]:
    """The nodes before the rounded value that it may be moved in front of, from the last to the first."""
    producers, consumers = graph.producers(), graph.consumers()
    if any(all(user is not reader for reader in rounding.readers) for user in consumers[rounding.value]):
        return []
    passed: list[Any] = []
    name = rounding.value
    while name not in graph.outputs and (not passed or len(consumers[name]) == 1):
        node = producers.get(name)
        if node is None or len(_data(node)) != 1 or len([output for output in node.output if output]) > 1:
            break
        bounds = _clip(graph, node)
        if node.op_type not in _COMMUTES and (bounds is None or not clips(rounding.grid, *bounds)):
            break
        passed.append(node)
        name = node.input[0]
    return passed
