"""Count the multiply-accumulates of a network's layers."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from paddlepress.core.errors import TechniqueRefused
from paddlepress.surgery import program
from paddlepress.surgery.groups import layer_of
from paddlepress.surgery.program import Operation, Program
from paddlepress.surgery.propagate import Propagation
from paddlepress.surgery.recurrent_rules import cells
from paddlepress.surgery.rules import RULES

if TYPE_CHECKING:
    from paddlepress.network.model import Model


def macs(model: Model) -> dict[str, int]:
    """Multiply-accumulates of each convolution, recurrent layer and product with a weight matrix, at batch 1.

    Biases, norms, activations and products of two activations are not counted, as is customary. A
    layer that is used twice counts twice.

    Returns:
        Layer name -> multiply-accumulates, in the order of the forward pass.

    Raises:
        TechniqueRefused: the network can't be traced, its inputs have no fixed size, or it has a layer in a
            loop, whose number of steps is not known before it runs.
    """
    found: dict[str, int] = {}
    for weight, count in macs_of_weights(model).items():
        layer = layer_of(weight)
        found[layer] = found.get(layer, 0) + count
    return found


def macs_of_weights(model: Model) -> dict[str, int]:
    """Multiply-accumulates by the weight that they multiply with: for each, its elements times a whole number.

    Returns:
        Parameter name -> multiply-accumulates at batch 1, in the order of the forward pass.

    Raises:
        TechniqueRefused: as for `macs`.
    """
    traced = program.read(model)
    flow = Propagation(traced, RULES)
    found: dict[str, int] = {}
    for operation in traced.operations:
        looped = [
            traced.parameters[v] for v in operation.captured if v in traced.parameters and len(traced.shapes[v]) > 1
        ]
        if looped:
            raise TechniqueRefused(
                f"layer {layer_of(looped[0])!r} is computed in a {operation.name}, which is not counted"
            )
        for weight, count in _counts(traced, flow, operation):
            if count < 0:
                raise TechniqueRefused(f"layer {layer_of(weight)!r} has an output of no fixed size")
            found[weight] = found.get(weight, 0) + count
    return found


def _counts(traced: Program, flow: Propagation, operation: Operation) -> Iterator[tuple[str, int]]:
    """The weights that an operation multiplies with, and how often; -1 where a size is not known."""
    if operation.name == "rnn":
        steps = traced.shapes[operation.inputs[0] or 0][:-1]  # and the batch
        for cell in (cell for layer in cells(flow, operation) or () for cell in layer):
            for tensor in cell.weights:
                assert tensor.weight is not None
                yield tensor.weight.parameter, prod((*steps, *tensor.shape)) if min(steps) >= 0 else -1
        return
    count = _count(traced, operation)
    weight = None if count is None else flow.tensor(operation.inputs[1]).weight
    if count is not None and weight is not None:
        yield weight.parameter, count


def _count(traced: Program, operation: Operation) -> int | None:
    """Multiply-accumulates of one operation, -1 where a size is not known; None for one that has none."""
    if operation.name not in {"matmul", "bmm"} and "conv" not in operation.name:
        return None
    first, second = (traced.shapes.get(value or 0, ()) for value in operation.inputs[:2])
    result = traced.shapes[operation.outputs[0]]
    if min((*first, *second, *result), default=0) < 0:
        return -1
    if operation.name in {"matmul", "bmm"}:
        return prod(result) * first[-2 if operation.attributes.get("transpose_x") else -1]
    if operation.name.endswith("transpose"):
        return prod(first) * prod(second[1:])
    return prod(result) * prod(second[1:])
