"""What operations that only move, join or part tensors do to the units that go through them."""

from __future__ import annotations

import numpy as np

from paddlepress.surgery.linked_indices import plain
from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import AXES, Propagation, Tensor, Weight, spread

SLICED = "is sliced at places that the network's code states"


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
    added = (1,) * (len(shape) - len(x.shape))
    if x.weight is not None:
        axes = [
            a if size == to else None for a, size, to in zip(x.weight.axes, x.shape, shape[len(added) :], strict=True)
        ]
        for axis, to in zip(axes, shape[len(added) :], strict=True):
            if axis is not None and to > 1:  # the sizes that it is expanded to may be the code's own numbers
                flow.units.doubt(flow.units.axis(x.weight.parameter, axis))
        weight = Weight(x.weight.parameter, (*(None for _ in added), *axes))
        flow.put_value(output, Tensor(shape, plain(len(shape)), weight))
        return
    flow.units.doubt(x.labels)
    flow.put(output, x.labels.reshape(added + x.labels.shape))


def tile(flow: Propagation, operation: Operation) -> None:
    """Repeats along axes: those that hold units may not be among them."""
    x, output = flow.tensor(operation.inputs[0]), operation.outputs[0]
    shape = flow.program.shapes[output]
    added = (1,) * (len(shape) - len(x.shape))
    before = added + x.shape
    if before == shape and x.weight is not None:
        flow.put_value(output, x)
        return
    x = flow.activation(operation.inputs[0], "is repeated")
    if any(before[axis + len(added)] != shape[axis + len(added)] for axis in x.axes):
        flow.units.block(x.labels, "is repeated along its units")
        return
    flow.put(output, x.labels.reshape(added + x.labels.shape))


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
    elif len({_across(part, axis) for part in parts}) == 1 and len(parts[0].axes) > 1:
        wide = [
            np.broadcast_to(p.labels, [p.shape[axis] if a == axis else s for a, s in enumerate(p.labels.shape)])
            for p in parts
        ]
        flow.put(output, np.concatenate(wide, axis))
    elif all(vector is not None for vector in vectors):
        for part in parts:
            if part.weight is not None:
                flow.units.seal(part.weight.parameter, "is concatenated with activations")
        flow.put(output, spread(np.concatenate([v for v in vectors if v is not None]), axis, rank))
    else:
        for part in parts:
            flow.units.block(part.labels, AXES)


def _across(part: Tensor, axis: int) -> tuple[int, ...]:
    """The sizes of a tensor's labels along all but one axis."""
    return (*part.labels.shape[:axis], *part.labels.shape[axis + 1 :])


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
    if axis not in x.axes:
        labels = [x.labels] * len(sizes)
    elif len(set(sizes)) > 1:
        along = flow.merged(x, [axis])
        if along is None:
            flow.units.block(x.labels, "is split into parts of sizes that the network's code states")
        labels = [plain(rank) if along is None else along] * len(sizes)
    else:
        labels = np.split(x.labels, len(sizes), axis)
        for piece in labels[1:]:
            flow.units.tie(labels[0], piece, "is split together with channels that can't be narrowed")
        if not even:
            flow.units.doubt(x.labels)
    shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
    flow.put_value(operation.outputs[0], [Tensor(s, found) for s, found in zip(shapes, labels, strict=True)])


def unpack(flow: Propagation, operation: Operation) -> None:
    parts = _parts(flow, operation.inputs[0])
    if operation.name == "builtin.slice":
        parts = [parts[int(operation.attributes["index"])]]
    for value, part in zip(operation.outputs, parts, strict=False):
        flow.put(value, part.labels)


def slicing(flow: Propagation, operation: Operation) -> None:
    x, output = flow.tensor(operation.inputs[0]), operation.outputs[0]
    axes = [int(axis) % max(len(x.shape), 1) for axis in operation.attributes["axes"]]
    dropped = {int(axis) for axis in operation.attributes.get("decrease_axis", ())}
    left = [axis for axis in range(len(x.shape)) if axis not in dropped]
    if x.weight is not None:
        own = list(x.weight.axes)
        for axis in axes:
            sliced = own[axis]
            if sliced is not None:
                flow.units.block(flow.units.axis(x.weight.parameter, sliced), SLICED)
            own[axis] = None
        shape = flow.program.shapes[output]
        weight = Weight(x.weight.parameter, tuple(own[axis] for axis in left))
        flow.put_value(output, Tensor(shape, plain(len(shape)), weight))
        return
    labels = flow.merged(x, axes)
    if labels is None:
        flow.units.block(x.labels, SLICED)
        return
    flow.put(output, labels.reshape([labels.shape[axis] for axis in left]))


def unbind(flow: Propagation, operation: Operation) -> None:
    """Parts a tensor into its places along an axis, which goes away."""
    x = flow.activation(operation.inputs[0], "is taken apart")
    axis = int(operation.attributes.get("axis", 0)) % len(x.shape)
    labels = flow.merged(x, [axis])
    if labels is None:
        flow.units.block(x.labels, SLICED)
        labels = plain(len(x.shape))
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    part = Tensor(shape, np.squeeze(labels, axis))
    flow.put_value(operation.outputs[0], [part] * x.shape[axis])


def shape_of(flow: Propagation, operation: Operation) -> None:
    """What is computed from a size may be wrong after a cut."""
    flow.units.doubt(flow.tensor(operation.inputs[0]).labels)


def unknown_axis(flow: Propagation, operation: Operation) -> None:
    for value in operation.inputs:
        flow.refuse(value, f"reaches {operation.name} along an axis that is computed")
