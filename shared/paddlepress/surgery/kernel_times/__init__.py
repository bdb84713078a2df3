"""What a layer costs where it is deployed: times of ONNX Runtime's kernels, measured for a family of processors.

ONNX Runtime computes a convolution in blocks of as many channels as a vector register holds, 16 with AVX-512, if
what it reads has a multiple of 4 channels and at least a block of them; what it makes is filled up to whole blocks, so
that 33 channels cost what 48 do. Fewer channels than a block are read as they are, which costs a change of layout
but no filling up. Every other convolution becomes a product of matrices, for which its input is copied first: at two
to three times the cost of a multiply-accumulate, 17 channels take longer than 32.

So what counts is not how many multiply-accumulates there are, but which: the tables beside this module say how many
picoseconds one takes, by kind of layer, channels and size of the map. `make benchmark-kernels` measures one.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import log, prod, sqrt
from typing import Any, Literal, get_args

Processor = Literal["avx512", "avx2"]
"""Families of processors that have a table, each named after its vector instructions."""

PROCESSORS: tuple[Processor, ...] = get_args(Processor)
DEFAULT: Processor = "avx512"


@dataclass(frozen=True)
class Work:
    """What a layer computes for one example.

    Attributes:
        inputs, outputs: channels or features; of all groups together.
        kernel: its sizes, (1, 1) for a dense layer too.
        positions: pixels of the output, or rows of a dense layer.
        groups: of a convolution.
        dense: whether it is a product with a matrix, not a convolution.
        transposed: whether it is a transposed convolution.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    positions: int
    groups: int = 1
    dense: bool = False
    transposed: bool = False

    @property
    def parameters(self) -> int:
        """Numbers in the weight."""
        return self.inputs // self.groups * self.outputs * prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.parameters * self.positions


@dataclass(frozen=True)
class Kernels:
    """The kernels of ONNX Runtime on a family of processors.

    Attributes:
        processor: the family.
        block: channels that a convolution computes together.
        rates: kind of layer -> way to compute it -> picoseconds of a multiply-accumulate, a table with the rows
            `channels` and the columns `sides`, the square root of the positions.
    """

    processor: str
    block: int
    rates: dict[str, dict[str, dict[str, Any]]]
    _known: dict[Work, float] = field(default_factory=dict, compare=False, repr=False)

    def multiple(self, units: int) -> int:
        """Of how many units a layer should keep a multiple, so that none of them costs time for nothing.

        Args:
            units: that the layer has.
        """
        if units >= 2 * self.block:
            return self.block
        return self.block // 2 if units >= self.block else 1

    def nanoseconds(self, work: Work) -> float:
        """About how long a layer takes for one example, on one thread."""
        if work not in self._known:
            self._known[work] = self._nanoseconds(work)
        return self._known[work]

    def _nanoseconds(self, work: Work) -> float:
        kind = _kind(work)
        ways = self.rates[kind]
        way = self._way(work, kind)
        table = ways.get(way, ways["plain"])
        inputs, outputs = work.inputs, work.outputs
        if way == "blocked":
            inputs, outputs = (_filled(size, self.block) for size in (inputs, outputs))
        elif way == "direct":
            outputs = _filled(outputs, self.block)
        filled = outputs * prod(work.kernel) * work.positions * (1 if kind == "depthwise" else inputs / work.groups)
        channels = outputs if kind == "depthwise" else sqrt(inputs * outputs)
        return filled * _rate(table, channels, sqrt(work.positions)) / 1000

    def _way(self, work: Work, kind: str) -> str:
        if kind == "dense" or work.transposed or len(work.kernel) != 2:
            return "plain"
        if kind == "depthwise":
            return "plain" if work.outputs % 4 else "blocked"
        if work.groups > 1:
            whole = work.inputs // work.groups % self.block == 0 == work.outputs // work.groups % self.block
            return "blocked" if whole else "plain"
        if work.inputs < self.block:
            return "direct"
        return "plain" if work.inputs % 4 else "blocked"


@cache
def load(processor: Processor = DEFAULT) -> Kernels:
    """The kernels of a family of processors."""
    content = json.loads((files(__package__) / f"{processor}.json").read_text(encoding="utf-8"))
    return Kernels(content["processor"], content["block"], content["rates"])


def _kind(work: Work) -> str:
    if work.dense:
        return "dense"
    if work.groups > 1 and work.groups == work.inputs == work.outputs:
        return "depthwise"
    extended = sum(size > 1 for size in work.kernel)
    return ("1x1", "kx1", "kxk")[min(extended, 2)]


def _filled(size: int, block: int) -> int:
    return -(-size // block) * block


def _rate(table: dict[str, Any], channels: float, side: float) -> float:
    """Between the entries of a table, along logarithms; beyond them the nearest."""
    low, high, share = _between(table["channels"], channels)
    left, right, along = _between(table["sides"], side)
    rates = [
        (1 - along) * table["picoseconds"][row][left] + along * table["picoseconds"][row][right] for row in (low, high)
    ]
    return float((1 - share) * rates[0] + share * rates[1])


def _between(grid: Sequence[float], value: float) -> tuple[int, int, float]:
    """The entries around a value, and how far from the first to the second it is."""
    if value <= grid[0]:
        return 0, 0, 0.0
    if value >= grid[-1]:
        return len(grid) - 1, len(grid) - 1, 0.0
    right = bisect_right(grid, value)
    return right - 1, right, log(value / grid[right - 1]) / log(grid[right] / grid[right - 1])
