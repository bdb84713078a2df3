"""What each weight of a network is multiplied with, so that its time on the deployed runtime can be estimated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from paddlepress.surgery import program
from paddlepress.surgery.kernel_times import Kernels, Work
from paddlepress.surgery.macs import macs_of_weights
from paddlepress.surgery.program import Operation, Program, Shape
from paddlepress.surgery.propagate import Propagation
from paddlepress.surgery.recurrent_rules import cells
from paddlepress.surgery.rules import RULES

if TYPE_CHECKING:
    from paddlepress.network.model import Model


@dataclass(frozen=True)
class Use:
    """An operation that multiplies with a weight.

    Attributes:
        work: what it computes.
        inputs, outputs: the weight's axes along which it reads and makes channels; for grouped convolutions
            those of one group along the one, of all along the other.
        times: how often it does, at one example.
    """

    work: Work
    inputs: int
    outputs: int
    times: int = 1

    def resized(self, before: Shape, after: Shape) -> Work:
        """The work once the weight has another shape."""
        work = self.work
        if work.groups == 1:
            return replace(work, inputs=after[self.inputs], outputs=after[self.outputs])
        # Whole groups went, unless each of them has fewer channels.
        whole, each = (self.inputs, self.outputs) if work.transposed else (self.outputs, self.inputs)
        groups = work.groups
        if after[each] == before[each]:
            groups = max(1, groups * after[whole] // before[whole])
        sizes = {whole: after[whole], each: after[each] * groups}
        return replace(work, inputs=sizes[self.inputs], outputs=sizes[self.outputs], groups=groups)


def uses(model: Model) -> dict[str, list[Use]]:
    """What multiplies with each weight, by parameter name, in the order of the forward pass.

    Raises:
        TechniqueRefused: as for `macs`.
    """
    macs_of_weights(model)  # says what can't be counted
    traced = program.read(model)
    flow = Propagation(traced, RULES)
    found: dict[str, list[Use]] = {}
    for operation in traced.operations:
        for weight, use in _uses(traced, flow, operation):
            found.setdefault(weight, []).append(use)
    return found


def estimate(model: Model, kernels: Kernels) -> float:
    """About how many nanoseconds a network's convolutions and products take for one example, on one thread.

    Raises:
        TechniqueRefused: as for `macs`.
    """
    return sum(use.times * kernels.nanoseconds(use.work) for every in uses(model).values() for use in every)


def time_of(every: list[Use], kernels: Kernels, before: Shape, after: Shape) -> float:
    """About how many nanoseconds the uses of a weight take once it has another shape."""
    return sum(use.times * kernels.nanoseconds(use.resized(before, after)) for use in every)


def _uses(traced: Program, flow: Propagation, operation: Operation) -> Iterator[tuple[str, Use]]:
    if operation.name == "rnn":
        steps = prod(traced.shapes[operation.inputs[0] or 0][:-1])
        for cell in (cell for layer in cells(flow, operation) or () for cell in layer):
            for tensor in cell.weights:
                assert tensor.weight is not None
                work = Work(tensor.shape[1], tensor.shape[0], (1, 1), 1, dense=True)
                yield tensor.weight.parameter, Use(work, 1, 0, steps)
        return
    if operation.name not in {"matmul", "bmm"} and "conv" not in operation.name:
        return
    first, second, result = (traced.shapes.get(v or 0, ()) for v in (*operation.inputs[:2], operation.outputs[0]))
    weight = flow.tensor(operation.inputs[1]).weight
    if weight is None or any(axis is None for axis in weight.axes[-2:] + weight.axes[:2]):
        return
    own = [axis or 0 for axis in weight.axes]
    if "conv" not in operation.name:
        inner, outer = (-1, -2) if operation.attributes.get("transpose_y") else (-2, -1)
        work = Work(second[inner], second[outer], (1, 1), prod(result) // max(1, second[outer]), dense=True)
        yield weight.parameter, Use(work, own[inner], own[outer])
        return
    groups, kernel = int(operation.attributes.get("groups", 1)), second[2:]
    if operation.name.endswith("transpose"):
        spatial = prod(first) // second[0]
        work = Work(second[0], second[1] * groups, kernel, spatial, groups, transposed=True)
        yield weight.parameter, Use(work, own[0], own[1])
        return
    work = Work(second[1] * groups, second[0], kernel, prod(result) // second[0], groups)
    yield weight.parameter, Use(work, own[1], own[0])
