"""What normalizations do to the units that go through them."""

from __future__ import annotations

import numpy as np

from paddlepress.surgery.layer_rules import INPUT, MIXES, channel_axis, channels_of
from paddlepress.surgery.linked_indices import plain
from paddlepress.surgery.program import Operation
from paddlepress.surgery.propagate import Propagation, spread


def per_channel_norm(flow: Propagation, operation: Operation) -> None:
    """Batch and instance norm: every operand after the first has one number per channel."""
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    axis = channel_axis(operation, x)
    channels = channels_of(flow, operation, x, axis)
    for value in operation.inputs[1:]:
        if value is not None:
            statistics = flow.tensor(value).along(0)
            flow.units.tie(channels, plain(1) if statistics is None else statistics, INPUT)
    flow.put(operation.outputs[0], spread(channels, axis, len(x.shape)))


def softmax(flow: Propagation, operation: Operation) -> None:
    """Softmax mixes what lies along its axis."""
    x = flow.activation(operation.inputs[0], f"is the input of {operation.name}")
    labels = flow.merged(x, [int(operation.attributes.get("axis", -1)) % len(x.shape)])
    if labels is None:
        flow.units.block(x.labels, MIXES.format(operation.name))
        return
    flow.put(operation.outputs[0], labels)


def layer_norm(flow: Propagation, operation: Operation) -> None:
    """Statistics over the last axes. Units among them can go, along with their scale and shift."""
    x = flow.activation(operation.inputs[0], "is the input of layer_norm")
    axes = range(int(operation.attributes["begin_norm_axis"]), len(x.shape))
    spans = [axis for axis in x.axes if axis in axes]
    if not spans or len(spans) < len(x.axes):
        for value in operation.inputs[1:]:
            flow.refuse(value, "belongs to a layer_norm over what is no unit")
        flow.put(operation.outputs[0], flow.together(x.labels, spans) if spans else x.labels)
        return
    if spans != [axes.start]:
        flow.refuse(operation.inputs[0], "reaches a layer_norm over several axes, of which it is not the first")
        for value in operation.inputs[1:]:
            flow.refuse(value, "belongs to a layer_norm over several axes")
        return
    inside = np.broadcast_to(x.labels, [x.shape[a] if a in axes else 1 for a in range(len(x.shape))]).reshape(-1)
    for value in operation.inputs[1:]:
        if value is not None:
            own = flow.tensor(value).along(0)
            flow.units.tie(inside, plain(1) if own is None else own, INPUT)
    flow.units.mix(x.labels)
    flow.put(operation.outputs[0], x.labels)


def group_norm(flow: Propagation, operation: Operation) -> None:
    """Statistics over groups of channels: whole groups go or, where those are fewer, a place of every group."""
    x = flow.activation(operation.inputs[0], "is the input of group_norm")
    axis = channel_axis(operation, x)
    channels = channels_of(flow, operation, x, axis)
    for value in operation.inputs[1:]:
        if value is not None:
            own = flow.tensor(value).along(0)
            flow.units.tie(channels, plain(1) if own is None else own, INPUT)
    grid = channels.reshape(int(operation.attributes["groups"]), -1)
    if whole_groups(*grid.shape):
        flow.units.tie(grid[:, :1], grid, INPUT)
    else:
        flow.units.tie(grid[:1], grid, INPUT)
        flow.units.mix(channels)
    flow.put(operation.outputs[0], spread(channels, axis, len(x.shape)))


def whole_groups(groups: int, members: int) -> bool:
    """Whether a group norm loses whole groups, rather than a place in each of them."""
    return groups > members
