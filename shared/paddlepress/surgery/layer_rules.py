"""What operations that compute do to the units that go through them."""

from __future__ import annotations

import numpy as np

from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import AXES, Propagation, Tensor, Weight, spread
from paddlepress.surgery.units import Labels, plain

INPUT = "reads what can't be narrowed"


def _channel_axis(operation: Operation, tensor: Tensor) -> int:
    form = operation.attributes.get("data_format", "NCHW")
    return len(tensor.shape) - 1 if form.endswith("C") and len(tensor.shape) > 2 else 1


def _channels(flow: Propagation, operation: Operation, tensor: Tensor, axis: int) -> Labels:
    """A tensor's units along the channel axis; units along other axes become fixed."""
    found = tensor.along(axis)
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
    axis, groups = _channel_axis(operation, x), int(operation.attributes["groups"])
    channels = _channels(flow, operation, x, axis)
    transposed = operation.name.endswith("transpose")
    shape = flow.tensor(operation.inputs[1]).shape
    if transposed and groups > 1:
        flow.units.block(channels, "reaches a grouped transposed convolution, which surgery does not know")
        flow.units.seal(weight.parameter, "is a grouped transposed convolution, which surgery does not know")
        return
    outward = flow.role(weight, 1 if transposed else 0, "out", "filters")
    if outward is None:
        flow.units.block(channels, INPUT)
        flow.units.seal(weight.parameter, "is reshaped in a way that surgery can't follow")
        return
    if groups > 1 and groups == channels.size:  # depthwise: a channel and what is made of it
        if outward.size > 1:
            flow.units.tie(outward.reshape(groups, -1), channels.reshape(groups, 1), INPUT)
    else:
        inward = flow.role(weight, 0 if transposed else 1, "in", "filters")
        if inward is None:  # one input channel a group: nothing to cut there
            inward = plain(1)
        flow.units.tie(channels.reshape(groups, -1), inward.reshape(1, -1), INPUT)
        if groups > 1 and outward.size > 1:  # groups stay of one size: the same place in each goes
            rows = outward.reshape(groups, -1)
            if rows.shape[1] == 1:
                flow.units.block(rows, "has a single filter in each of its groups")
            flow.units.tie(rows[:1], rows, INPUT)
    rank = len(shape)
    flow.put(operation.outputs[0], spread(outward, axis, rank))


def matmul(flow: Propagation, operation: Operation) -> None:
    transpose_x, transpose_y = (bool(operation.attributes.get(f"transpose_{side}")) for side in "xy")
    x = flow.activation(operation.inputs[0], "is the first operand of a matrix product")
    y = flow.tensor(operation.inputs[1])
    if y.weight is None:
        for side in (x, y):
            flow.units.block(side.labels, "meets another activation in a matrix product")
        return
    weight = _weight(flow, operation, 2)
    if weight is None:
        return
    inside, outside = (1, 0) if transpose_y else (0, 1)
    features = None if transpose_x else x.along(-1)
    if features is None:
        flow.units.block(x.labels, AXES)
        features = np.full(y.shape[inside], -1, np.int64)
    inward = flow.role(weight, inside, "in", "neurons")
    outward = flow.role(weight, outside, "out", "neurons")
    flow.units.tie(features, plain(1) if inward is None else inward, INPUT)
    output = operation.outputs[0]
    rank = len(flow.program.shapes[output])
    flow.put(output, plain(rank) if outward is None else spread(outward, rank - 1, rank))


def per_channel_norm(flow: Propagation, operation: Operation) -> None:
    """Batch and instance norm: every operand after the first has one number per channel."""
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    axis = _channel_axis(operation, x)
    channels = _channels(flow, operation, x, axis)
    for value in operation.inputs[1:]:
        if value is not None:
            statistics = flow.tensor(value).along(0)
            flow.units.tie(channels, plain(1) if statistics is None else statistics, INPUT)
    flow.put(operation.outputs[0], spread(channels, axis, len(x.shape)))


def prelu(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], "is the input of prelu")
    slopes = flow.tensor(operation.inputs[1])
    labels = x.labels
    if operation.attributes.get("mode") == "channel":
        axis = _channel_axis(operation, x)
        channels = _channels(flow, operation, x, axis)
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
    axis = _channel_axis(operation, x)
    labels = spread(_channels(flow, operation, x, axis), axis, len(x.shape))
    for value in operation.outputs:
        if len(flow.program.shapes.get(value, ())) == len(x.shape):
            flow.put(value, labels)


def normalization(flow: Propagation, operation: Operation) -> None:
    """Layer norm and softmax mix what lies along some axes; units along them can't be taken out."""
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    rank = len(x.shape)
    first = operation.attributes.get("begin_norm_axis")
    axes = range(int(first), rank) if first is not None else [int(operation.attributes.get("axis", -1)) % rank]
    for value in operation.inputs[1:]:
        flow.refuse(value, f"belongs to a {operation.name} across units")
    if any(x.labels.shape[axis] > 1 for axis in axes):
        flow.units.block(x.labels, f"reaches {operation.name}, which mixes units")
        return
    flow.put(operation.outputs[0], x.labels)


def reduction(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    rank = len(x.shape)
    given = flow.constant(operation.inputs[1]) if len(operation.inputs) > 1 else operation.attributes.get("axis")
    if given is None:
        flow.units.block(x.labels, f"reaches {operation.name} over axes that are computed")
        return
    axes = {int(axis) % rank for axis in np.atleast_1d(np.asarray(given, np.int64))} or set(range(rank))
    if any(x.labels.shape[axis] > 1 for axis in axes):
        flow.units.block(x.labels, f"reaches {operation.name}, which mixes units")
        return
    keep = operation.attributes.get("keepdim") or operation.attributes.get("keep_dim")
    left = [size for axis, size in enumerate(x.labels.shape) if keep or axis not in axes]
    flow.put(operation.outputs[0], x.labels.reshape(left))
