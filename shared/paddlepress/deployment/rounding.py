"""Where the values of an ONNX graph are rounded to an 8-bit grid: as early as that changes nothing.

Rounding is monotonic, so the largest of rounded values is the rounded largest value: max pooling, and
whatever only moves values, can work on integers. A rectifier or clip before it is superfluous where the
grid ends where the clip does. Rounding right after a product lets ONNX Runtime compute it on integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paddlepress.deployment.graph import Graph

_COMMUTES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})


@dataclass
class Rounding:
    """A value that products and additions read from a grid.

    Attributes:
        source: the value's name.
        scale, zero_point: of the grid, whose codes are unsigned 8-bit integers.
        readers: who reads it: products, as their first input, and additions.
        weights: the weights of the products among them.
        layers: the layers that ask for it as their output.
        start: the value that is rounded in the end: `source`, or one it is made from.
    """

    source: str
    scale: float
    zero_point: int
    readers: list[Any] = field(default_factory=list)
    weights: frozenset[str] = frozenset()
    layers: list[str] = field(default_factory=list)
    start: str = ""

    def clips(self, low: float, high: float) -> bool:
        """Whether everything outside of `low` to `high` is rounded to the ends of the grid, as they are."""
        lowest, highest = (round(bound / self.scale) + self.zero_point for bound in (low, min(high, 1e30)))
        return lowest <= 0 and highest >= 255


def place(graph: Graph, roundings: list[Rounding]) -> list[Rounding]:
    """Insert a QuantizeLinear and a DequantizeLinear for each rounding; returns them with `start` filled in."""
    for rounding in roundings:
        rounding.weights = frozenset(str(node.input[1]) for node in rounding.readers if node.op_type != "Add")
        passed = _passable(graph, rounding)
        rounding.start = passed[-1].input[0] if passed else rounding.source
        grid = (graph.constant(rounding.scale), graph.constant(rounding.zero_point, np.uint8))
        codes = graph.node("QuantizeLinear", rounding.start, *grid)
        for node in reversed(passed):
            if node.op_type in _COMMUTES:
                node.input[0], codes = codes, node.output[0]
            else:
                graph.drop(node)
        rounded = graph.node("DequantizeLinear", codes, *grid)
        for node in rounding.readers:
            node.input[:] = [rounded if name == rounding.source else name for name in node.input]
    return roundings


def _passable(graph: Graph, rounding: Rounding) -> list[Any]:
    """The nodes before the rounded value that it may be moved in front of, from the last to the first."""
    producers, consumers = graph.producers(), graph.consumers()
    if any(all(user is not reader for reader in rounding.readers) for user in consumers[rounding.source]):
        return []
    passed: list[Any] = []
    name = rounding.source
    while name not in graph.outputs and (not passed or len(consumers[name]) == 1):
        node = producers.get(name)
        if node is None or not (node.op_type in _COMMUTES or _superfluous(graph, node, rounding)):
            break
        if len([output for output in node.output if output]) > 1:
            break
        passed.append(node)
        name = node.input[0]
    return passed


def _superfluous(graph: Graph, node: Any, rounding: Rounding) -> bool:
    """Whether a node only clips what the grid clips too."""
    if node.op_type == "Relu":
        return rounding.clips(0.0, float("inf"))
    if node.op_type != "Clip":
        return False
    bounds = [-float("inf"), float("inf")]
    for place, name in enumerate(node.input[1:3]):
        if name and name not in graph.values:
            return False
        if name:
            bounds[place] = float(graph.values[name])
    return rounding.clips(max(bounds[0], -1e30), bounds[1])
