"""What each operation does to the units that go through it."""

from __future__ import annotations

import numpy as np

from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import AXES, Propagation, Rule, Tensor, Weight
from paddlepress.surgery.units import Labels, plain

INPUT = "reads what can't be narrowed"

# Operations that treat every element by itself. Their further operands are scalars.
UNARY = """
    abs assign cast ceil celu clip cos dropout elu erf exp floor gelu hardshrink hardsigmoid hardswish hardtanh
    leaky_relu log log1p logsigmoid mish pow reciprocal relu relu6 round rsqrt scale selu share_data sigmoid sign
    silu sin softplus softshrink softsign sqrt square stanh swish tanh tanh_shrink thresholded_relu
""".split()
BINARY = "add subtract multiply divide maximum minimum fmax fmin elementwise_pow where".split()
# Operations that work on each channel by itself, over its pixels.
SPATIAL = """
    pool2d pool3d max_pool2d_with_index max_pool3d_with_index pad3d nearest_interp bilinear_interp bicubic_interp
    linear_interp trilinear_interp
""".split()
REDUCTIONS = "mean sum max min prod amax amin logsumexp".split()
CONSTANTS = "data full full_int_array assign_value".split()


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


def _spread(labels: Labels, axis: int, rank: int) -> Labels:
    """A vector of labels along one axis of a tensor."""
    if (labels < 0).all():
        return plain(rank)
    return labels.reshape([-1 if other == axis else 1 for other in range(rank)])


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
    flow.put(operation.outputs[0], _spread(outward, axis, rank))


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
    flow.put(output, plain(rank) if outward is None else _spread(outward, rank - 1, rank))


def per_channel_norm(flow: Propagation, operation: Operation) -> None:
    """Batch and instance norm: every operand after the first has one number per channel."""
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    axis = _channel_axis(operation, x)
    channels = _channels(flow, operation, x, axis)
    for value in operation.inputs[1:]:
        if value is not None:
            statistics = flow.tensor(value).along(0)
            flow.units.tie(channels, plain(1) if statistics is None else statistics, INPUT)
    flow.put(operation.outputs[0], _spread(channels, axis, len(x.shape)))


def prelu(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], "is the input of prelu")
    slopes = flow.tensor(operation.inputs[1])
    labels = x.labels
    if operation.attributes.get("mode") == "channel":
        axis = _channel_axis(operation, x)
        channels = _channels(flow, operation, x, axis)
        found = slopes.along(0) if len(slopes.shape) == 1 else None
        flow.units.tie(channels, plain(1) if found is None else found, INPUT)
        labels = _spread(channels, axis, len(x.shape))
    elif operation.attributes.get("mode") != "all":
        flow.refuse(operation.inputs[0], "reaches a prelu with a slope for every element")
        flow.refuse(operation.inputs[1], "is a slope for every element")
    flow.put(operation.outputs[0], labels)


def spatial(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    for value in operation.inputs[1:]:
        flow.refuse(value, f"is an argument of {operation.name}")
    axis = _channel_axis(operation, x)
    labels = _spread(_channels(flow, operation, x, axis), axis, len(x.shape))
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


def transpose(flow: Propagation, operation: Operation) -> None:
    x = flow.tensor(operation.inputs[0])
    order = [int(axis) for axis in operation.attributes["perm"]]
    weight = x.weight and Weight(x.weight.parameter, tuple(x.weight.axes[axis] for axis in order))
    shape = tuple(x.shape[axis] for axis in order)
    flow.put_value(operation.outputs[0], Tensor(shape, x.labels.transpose(order), weight))


def reshape(flow: Propagation, operation: Operation) -> None:
    written = flow.constant(operation.inputs[1]) if len(operation.inputs) > 1 else None
    flow.reshape(flow.tensor(operation.inputs[0]), operation.outputs[0], written)


def flatten(flow: Propagation, operation: Operation) -> None:
    """Flatten, squeeze and unsqueeze: reshapes whose sizes follow from their input's."""
    flow.reshape(flow.tensor(operation.inputs[0]), operation.outputs[0])


def expand(flow: Propagation, operation: Operation) -> None:
    x = flow.tensor(operation.inputs[0])
    output = operation.outputs[0]
    shape = flow.program.shapes[output]
    if x.weight is not None and shape == x.shape:
        flow.put_value(output, x)
        return
    x = flow.activation(operation.inputs[0], "is expanded")
    flow.units.doubt(x.labels)
    flow.put(output, x.labels.reshape((1,) * (len(shape) - len(x.shape)) + x.labels.shape))


def combine(flow: Propagation, operation: Operation) -> None:
    flow.put_value(operation.outputs[0], [flow.tensor(value) for value in operation.inputs])


def _parts(flow: Propagation, value: int | None) -> list[Tensor]:
    found = [] if value is None else flow.value(value)
    return found if isinstance(found, list) else [found]


def concat(flow: Propagation, operation: Operation) -> None:
    parts, output = _parts(flow, operation.inputs[0]), operation.outputs[0]
    rank = len(flow.program.shapes[output])
    given = flow.constant(operation.inputs[1])
    if given is None:
        unknown_axis(flow, operation)
        return
    axis = given[0] % rank
    vectors = [part.along(axis) for part in parts]
    if not any(part.labelled and part.labels.shape[axis] > 1 for part in parts):
        flow.put(output, flow.combine(parts, rank))  # side by side: the same units in all of them
    elif all(vector is not None for vector in vectors):
        for part in parts:
            if part.weight is not None:
                flow.units.seal(part.weight.parameter, "is concatenated with activations")
        flow.put(output, _spread(np.concatenate([v for v in vectors if v is not None]), axis, rank))
    else:
        for part in parts:
            flow.units.block(part.labels, AXES)


def stack(flow: Propagation, operation: Operation) -> None:
    output = operation.outputs[0]
    rank = len(flow.program.shapes[output])
    axis = int(operation.attributes.get("axis", 0)) % rank
    parts = []
    for part in _parts(flow, operation.inputs[0]):
        shape = (*part.shape[:axis], 1, *part.shape[axis:])
        axes = part.weight and (*part.weight.axes[:axis], None, *part.weight.axes[axis:])
        weight = Weight(part.weight.parameter, axes) if part.weight and axes else None
        parts.append(Tensor(shape, np.expand_dims(part.labels, axis), weight))
    flow.put(output, flow.combine(parts, rank))


def split(flow: Propagation, operation: Operation) -> None:
    x = flow.activation(operation.inputs[0], "is split")
    given = flow.constant(operation.inputs[-1])
    if given is None:
        unknown_axis(flow, operation)
        return
    rank = len(x.shape)
    axis = given[0] % rank
    even = operation.name == "split_with_num"
    count = int(operation.attributes["num"]) if even else 0
    written = (x.shape[axis] // count,) * count if even else flow.constant(operation.inputs[1]) or ()
    rest = x.shape[axis] - sum(size for size in written if size >= 0)
    sizes = [size if size >= 0 else rest for size in written]
    vector = x.along(axis) if x.labels.shape[axis] > 1 or not x.labelled else None
    if vector is None:
        labels = [x.labels] * len(sizes)
    else:
        pieces = np.split(vector, np.cumsum(sizes)[:-1])
        if len(set(sizes)) > 1:
            flow.units.block(vector, "is split into parts of sizes that the network's code states")
        else:
            for piece in pieces[1:]:
                flow.units.tie(pieces[0], piece, "is split together with channels that can't be narrowed")
            if not even:
                flow.units.doubt(vector)
        labels = [_spread(piece, axis, rank) for piece in pieces]
    shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
    flow.put_value(operation.outputs[0], [Tensor(s, found) for s, found in zip(shapes, labels, strict=True)])


def unpack(flow: Propagation, operation: Operation) -> None:
    parts = _parts(flow, operation.inputs[0])
    if operation.name == "builtin.slice":
        parts = [parts[int(operation.attributes["index"])]]
    for value, part in zip(operation.outputs, parts, strict=False):
        flow.put(value, part.labels)


def slicing(flow: Propagation, operation: Operation) -> None:
    x, output = flow.activation(operation.inputs[0], "is sliced"), operation.outputs[0]
    if any(x.labels.shape[int(axis)] > 1 for axis in operation.attributes["axes"]):
        flow.units.block(x.labels, "is sliced at places that the network's code states")
        return
    dropped = {int(axis) for axis in operation.attributes.get("decrease_axis", ())}
    flow.put(output, x.labels.reshape([size for axis, size in enumerate(x.labels.shape) if axis not in dropped]))


def shape_of(flow: Propagation, operation: Operation) -> None:
    """What is computed from a size may be wrong after a cut."""
    flow.units.doubt(flow.tensor(operation.inputs[0]).labels)


def unknown_axis(flow: Propagation, operation: Operation) -> None:
    for value in operation.inputs:
        flow.refuse(value, f"reaches {operation.name} along an axis that is computed")


RULES: dict[str, Rule] = {
    **dict.fromkeys(CONSTANTS, constant),
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(SPATIAL, spatial),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(["conv2d", "depthwise_conv2d", "conv3d", "conv2d_transpose", "conv3d_transpose"], convolution),
    **dict.fromkeys(["batch_norm", "instance_norm"], per_channel_norm),
    **dict.fromkeys(["layer_norm", "softmax", "log_softmax"], normalization),
    **dict.fromkeys(["flatten", "squeeze", "unsqueeze"], flatten),
    **dict.fromkeys(["split", "split_with_num"], split),
    **dict.fromkeys(["builtin.split", "builtin.slice"], unpack),
    **dict.fromkeys(["shape", "shape64"], shape_of),
    "matmul": matmul,
    "prelu": prelu,
    "transpose": transpose,
    "reshape": reshape,
    "expand": expand,
    "builtin.combine": combine,
    "concat": concat,
    "stack": stack,
    "slice": slicing,
}
