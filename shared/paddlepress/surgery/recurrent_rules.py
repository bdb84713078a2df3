"""What Paddle's recurrent layers do to the units that go through them.

One operation computes a whole stack of recurrent layers, in both directions where that is wanted:
their weights come as a list, [gates * hidden, in] and [gates * hidden, hidden] for each layer and
direction, and then their biases. They all have the one hidden size that the operation is told, so a
hidden unit goes out of every layer and direction at once, with all of its gates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddlepress.surgery.layer_rules import INPUT
from paddlepress.surgery.linked_indices import Labels, plain
from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import Propagation, Tensor, spread

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
UNKNOWN = "is a recurrent layer of a kind that surgery does not know"


@dataclass(frozen=True)
class Cell:
    """The parameters of one layer in one direction, as the operation's operands."""

    weights: tuple[Tensor, Tensor]
    biases: tuple[Tensor, ...]


def cells(flow: Propagation, operation: Operation) -> list[list[Cell]] | None:
    """The cells of each layer of a stack, one for each direction; None where they are not as expected."""
    found = flow.value(operation.inputs[2]) if operation.inputs[2] is not None else []
    layers = int(operation.attributes["num_layers"])
    directions = 2 if operation.attributes["is_bidirec"] else 1
    count = layers * directions
    if not isinstance(found, list) or len(found) not in (2 * count, 4 * count):
        return None
    weights, biases = found[: 2 * count], found[2 * count :]
    if any(part.weight is None for part in weights) or operation.attributes["mode"] not in GATES:
        return None
    made = [
        Cell((weights[2 * n], weights[2 * n + 1]), tuple(biases[2 * n : 2 * n + 2] if biases else ()))
        for n in range(count)
    ]
    return [made[start : start + directions] for start in range(0, count, directions)]


def rnn(flow: Propagation, operation: Operation) -> None:
    """Tie the gates of each hidden unit, and the units of all layers and directions."""
    x = flow.activation(operation.inputs[0], "is the input of a recurrent layer")
    stack = cells(flow, operation)
    hidden = None if stack is None else _hidden(flow, stack[0][0])
    if stack is None or hidden is None:
        for value in operation.inputs:
            flow.refuse(value, UNKNOWN)
        return
    gates = GATES[operation.attributes["mode"]]
    features = flow.only(x, -1)
    if features is None:
        flow.units.block(x.labels, "reaches a recurrent layer along an axis that it does not keep apart")
        features = np.full(x.shape[-1], -1, np.int64)
    for layer in stack:
        for cell in layer:
            _tie(flow, cell, features, hidden, gates)
        features = np.tile(hidden, len(layer))
    _states(flow, operation, hidden)
    flow.units.doubt(hidden)  # the states it starts from may be of a size that the code states
    rank = len(x.shape)
    flow.put(operation.outputs[0], spread(features, rank - 1, rank))


def _hidden(flow: Propagation, cell: Cell) -> Labels | None:
    recurrent = cell.weights[1].weight
    assert recurrent is not None
    return flow.role(recurrent, 1, "in", "neurons")


def _tie(flow: Propagation, cell: Cell, features: Labels, hidden: Labels, gates: int) -> None:
    for tensor, read in zip(cell.weights, (features, hidden), strict=True):
        assert tensor.weight is not None
        made = flow.role(tensor.weight, 0, "out", "neurons")
        inward = flow.role(tensor.weight, 1, "in", "neurons")
        flow.units.tie(hidden, plain(1) if made is None else made.reshape(gates, -1), INPUT)
        flow.units.tie(read, plain(1) if inward is None else inward, INPUT)
    for bias in cell.biases:
        own = bias.along(0)
        flow.units.tie(hidden, plain(1) if own is None else own.reshape(gates, -1), INPUT)


def _states(flow: Propagation, operation: Operation, hidden: Labels) -> None:
    """States [layers * directions, batch, hidden], those it starts from and those it ends with."""
    given = [] if operation.inputs[1] is None else flow.value(operation.inputs[1])
    states = given if isinstance(given, list) else [given]
    for state in states:
        if not state.constant:  # zeros follow the layer's own hidden size; anything else has to follow too
            own = flow.only(state, -1)
            flow.units.tie(hidden, plain(1) if own is None else own, INPUT)
    ranks = [len(state.shape) for state in states]
    last = [Tensor(s.shape, spread(hidden, rank - 1, rank)) for s, rank in zip(states, ranks, strict=True)]
    flow.put_value(operation.outputs[2], [*last])
