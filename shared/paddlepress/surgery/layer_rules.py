"""What operations that compute do to the units that go through them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paddlepress.surgery.linked_indices import Labels, plain
from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import AXES, Propagation, Tensor, Weight, spread

INPUT = "reads what can't be narrowed"
MIXES = "reaches {}, which mixes units"


def channel_axis(operation: Operation, tensor: Tensor) -> int:
    form = operation.attributes.get("data_format", "NCHW")
    return len(tensor.shape) - 1 if form.endswith("C") and len(tensor.shape) > 2 else 1


def channels_of(flow: Propagation, operation: Operation, tensor: Tensor, axis: int) -> Labels:
    """A tensor's units along the channel axis; units along other axes become fixed."""
    found = flow.only(tensor, axis)
    if found is None:
        flow.units.block(tensor.labels, f"reaches {operation.name} along an axis that it does not keep apart")
        return np.full(tensor.shape[axis], -1, np.int64)
    return found


def _weight(flow: Propagation, operation: Operation, rank: int) -> Weight | None:
    """The operation's second operand if it is a parameter of that rank (0: any from 2 on)."""
    found = flow.tensor(operation.inputs[1])
    if found.weight is None or (rank and len(found.shape) != rank):
        flow.refuse(operation.inputs[0], f"reaches {operation.name} with a weight that is computed")
        flow.refuse(operation.inputs[1], f"reaches {operation.name} as a weight that is computed")
        return None
    return found.weight


def constant(flow: Propagation, operation: Operation) -> None:
    """Makes a tensor from nothing."""
    if operation.name == "full":
        flow.put_value(operation.outputs[0], replace(flow.plain(operation.outputs[0]), constant=True))


def unary(flow: Propagation, operation: Operation) -> None:
    first = flow.tensor(operation.inputs[0])
    for value in operation.inputs[1:]:
        flow.refuse(value, f"is an argument of {operation.name}")
    for value in operation.outputs:
        if flow.program.shapes.get(value) == first.shape:
            flow.put_value(value, first)


def binary(flow: Propagation, operation: Operation) -> None:
    operands = [flow.tensor(value) for value in operation.inputs if value is not None]
    output = operation.outputs[0]
    shape = flow.program.shapes[output]
    weights = [tensor for tensor in operands if tensor.weight is not None]
    if len(weights) == 1 and weights[0].shape == shape and sum(np.prod(t.shape) > 1 for t in operands) == 1:
        flow.put_value(output, weights[0])  # a weight times a number is still that weight
        return
    flow.put(output, flow.combine(operands, len(shape)))


def convolution(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    weight = _weight(flow, operation, len(x.shape))
    if weight is None:
        return
    axis, groups = channel_axis(operation, x), int(operation.attributes["groups"])
    channels = channels_of(flow, operation, x, axis)
    transposed = operation.name.endswith("transpose")
    follow = _transposed if transposed else _forward
    made = follow(flow, weight, groups, channels)
    if made is None:
        flow.units.block(channels, INPUT)
        flow.units.seal(weight.parameter, "is reshaped in a way that surgery can't follow")
        return
    flow.put(operation.outputs[0], spread(made, axis, len(x.shape)))


def _forward(flow: Propagation, weight: Weight, groups: int, channels: Labels) -> Labels | None:
    """Tie the units of a convolution [out, in / groups, *kernel]; those of its output, None if they aren't known."""
    outward = flow.role(weight, 0, "out", "filters")
    if outward is None:
        return None
    if groups > 1 and groups == channels.size:  # depthwise: a channel and what is made of it
        if outward.size > 1:
            flow.units.tie(outward.reshape(groups, -1), channels.reshape(groups, 1), INPUT)
        return outward
    flow.units.tie(channels.reshape(groups, -1), _reading(flow, weight, 1).reshape(1, -1), INPUT)
    if groups > 1 and outward.size > 1:  # groups stay of one size: the same place in each goes
        rows = outward.reshape(groups, -1)
        if rows.shape[1] == 1:
            flow.units.block(rows, "has a single filter in each of its groups")
        flow.units.tie(rows[:1], rows, INPUT)
    return outward


def _transposed(flow: Propagation, weight: Weight, groups: int, channels: Labels) -> Labels | None:
    """As `_forward` for a transposed convolution [in, out / groups, *kernel]."""
    if groups > 1 and groups == channels.size:  # depthwise: it makes what it reads
        own = flow.role(weight, 0, "out", "filters")
        if own is None:
            return None
        made = 1 if weight.axes[1] is None else flow.units.shapes[weight.parameter][weight.axes[1]]
        flow.units.tie(channels, own, INPUT)
        return np.repeat(channels, made)
    outward = flow.role(weight, 1, "out", "filters")
    if outward is None:
        return None
    flow.units.tie(channels, _reading(flow, weight, 0), INPUT)
    if groups > 1:
        rows = channels.reshape(groups, -1)
        flow.units.tie(rows[:1], rows, INPUT)
    return np.tile(outward, groups)


def _reading(flow: Propagation, weight: Weight, axis: int) -> Labels:
    inward = flow.role(weight, axis, "in", "filters")
    return plain(1) if inward is None else inward  # a single input channel: nothing to cut there


def matmul(flow: Propagation, operation: Operation) -> None:
    transpose_x, transpose_y = (bool(operation.attributes.get(f"transpose_{side}")) for side in "xy")
    y = flow.tensor(operation.inputs[1])
    x = flow.activation(operation.inputs[0], "is the first operand of a matrix product")
    if y.weight is None:
        product(flow, operation, x, y)
        return
    weight = _weight(flow, operation, 2)
    if weight is None:
        return
    inside, outside = (1, 0) if transpose_y else (0, 1)
    features = None if transpose_x else flow.only(x, -1)
    if features is None:
        flow.units.block(x.labels, AXES)
        features = np.full(y.shape[inside], -1, np.int64)
    inward = flow.role(weight, inside, "in", "neurons")
    outward = flow.role(weight, outside, "out", "neurons")
    flow.units.tie(features, plain(1) if inward is None else inward, INPUT)
    output = operation.outputs[0]
    rank = len(flow.program.shapes[output])
    flow.put(output, plain(rank) if outward is None else spread(outward, rank - 1, rank))


def prelu(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], "is the input of prelu")
    slopes = flow.tensor(operation.inputs[1])
    labels = x.labels
    if operation.attributes.get("mode") == "channel":
        axis = channel_axis(operation, x)
        channels = channels_of(flow, operation, x, axis)
        found = slopes.along(0) if len(slopes.shape) == 1 else None
        flow.units.tie(channels, plain(1) if found is None else found, INPUT)
        labels = spread(channels, axis, len(x.shape))
    elif operation.attributes.get("mode") != "all":
        flow.refuse(operation.inputs[0], "reaches a prelu with a slope for every element")
        flow.refuse(operation.inputs[1], "is a slope for every element")
    flow.put(operation.outputs[0], labels)


def spatial(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    for value in operation.inputs[1:]:
        flow.refuse(value, f"is an argument of {operation.name}")
    axis = channel_axis(operation, x)
    labels = spread(channels_of(flow, operation, x, axis), axis, len(x.shape))
    for value in operation.outputs:
        if len(flow.program.shapes.get(value, ())) == len(x.shape):
            flow.put(value, labels)


def reduction(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    rank = len(x.shape)
    given = flow.constant(operation.inputs[1]) if len(operation.inputs) > 1 else operation.attributes.get("axis")
    if given is None:
        flow.units.block(x.labels, f"reaches {operation.name} over axes that are computed")
        return
    axes = {int(axis) % rank for axis in np.atleast_1d(np.asarray(given, np.int64))} or set(range(rank))
    labels = flow.merged(x, sorted(axes))
    if labels is None:
        flow.units.block(x.labels, MIXES.format(operation.name))
        return
    keep = operation.attributes.get("keepdim") or operation.attributes.get("keep_dim")
    left = [size for axis, size in enumerate(labels.shape) if keep or axis not in axes]
    flow.put(operation.outputs[0], labels.reshape(left))


def product(flow: Propagation, operation: Operation, x: Tensor, y: Tensor) -> None:
    """A product of two activations, as in attention: the axes before the last two are the heads'."""
    if min(len(x.shape), len(y.shape)) < 2:
        for side in (x, y):
            flow.units.block(side.labels, "meets another activation in a matrix product")
        return
    rank = len(flow.program.shapes[operation.outputs[0]])
    x, y = (
        _matrices(side, rank, bool(operation.attributes.get(f"transpose_{name}")))
        for name, side in (("x", x), ("y", y))
    )
    if x.axes in ([], [rank - 1]) and y.axes in ([], [rank - 2]) and (x.labelled or y.labelled):
        # Only what is summed over has units: they go in both. A scale may be written for their number.
        first, second = x.along(rank - 1), y.along(rank - 2)
        assert first is not None and second is not None
        flow.units.tie(first, second, "meets another activation in a matrix product")
        flow.units.doubt(first)
        flow.units.doubt(second)
        return
    x, y = (_summed(flow, side, summed) for side, summed in ((x, rank - 1), (y, rank - 2)))
    for side in (x, y):
        if any(axis < rank - 2 for axis in side.axes):
            flow.units.head(side.labels)
    flow.put(operation.outputs[0], flow.combine([x, y], rank))


def _summed(flow: Propagation, tensor: Tensor, axis: int) -> Tensor:
    """An operand of a matrix product once it is summed over: heads whose features are summed over go whole."""
    labels = flow.merged(tensor, [axis])
    if labels is None:
        flow.units.block(tensor.labels, "meets another activation in a matrix product")
        labels = plain(len(tensor.shape))
    return Tensor((*tensor.shape[:axis], 1, *tensor.shape[axis + 1 :]), labels)


def _matrices(tensor: Tensor, rank: int, transposed: bool) -> Tensor:
    """An operand of a matrix product with axes of size 1 before, and as if it were not transposed."""
    missing = (1,) * (rank - len(tensor.shape))
    shape, labels = missing + tensor.shape, tensor.labels.reshape(missing + tensor.labels.shape)
    if transposed:
        shape, labels = (*shape[:-2], shape[-1], shape[-2]), labels.swapaxes(-1, -2)
    return Tensor(shape, labels)


def embedding(flow: Propagation, operation: Operation) -> None:
    """Rows of a table by number: its columns are units, its rows the vocabulary."""
    flow.refuse(operation.inputs[0], "is a number that is looked up")
    weight = _weight(flow, operation, 2)
    if weight is None:
        return
    rows = weight.axes[0]
    if rows is not None:
        flow.units.block(flow.units.axis(weight.parameter, rows), "is looked up by its number")
    columns = flow.role(weight, 1, "out", "neurons")
    rank = len(flow.program.shapes[operation.outputs[0]])
    flow.put(operation.outputs[0], plain(rank) if columns is None else spread(columns, rank - 1, rank))
