"""What units put out, as the layers that read them see it; and how often that is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn.layer.conv import _ConvNd
from paddle.nn.layer.rnn import RNNBase

from paddlepress.core.errors import TechniqueRefused
from paddlepress.forward.layer_hooks import before
from paddlepress.forward.outputs import outputs_of
from paddlepress.network.edits import find
from paddlepress.network.inserted_layers import float_inputs
from paddlepress.network.layer_kinds import output_axis
from paddlepress.surgery.groups import Group, Slice, layer_of
from paddlepress_components.pruning.weight_importance import Scores

if TYPE_CHECKING:
    from paddlepress.data import Split


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads the units of a group.

    Attributes:
        group: its name.
        layer: convolution, dense or recurrent.
        channels: int64 array [units, k]: which channels of the layer's input are each unit's.
    """

    group: str
    layer: nn.Layer
    channels: NDArray[np.int64]

    def by_unit(self, value: paddle.Tensor) -> NDArray[np.float64]:
        """A tensor of the shape of the layer's input as [examples, units, values of each]."""
        axis = self.layer._channel_dim % value.ndim if isinstance(self.layer, _ConvNd) else value.ndim - 1
        array = np.moveaxis(np.asarray(value.numpy(), np.float64), axis, 1)
        taken = array[:, self.channels]
        return taken.reshape(len(taken), len(self.channels), -1)


class Reads:
    """The layers that read the units of some groups.

    Raises:
        TechniqueRefused: no layer reads the units of a group.
    """

    def __init__(self, network: nn.Layer, groups: Sequence[Group]) -> None:
        self.network = network
        self.readers: list[Reader] = []
        for group in groups:
            found = [reader for part in group.slices if (reader := _reader(network, group, part)) is not None]
            if not found:
                raise TechniqueRefused(
                    f"no layer reads the {group.kind} of {group.name!r}: exclude it, or choose another importance"
                )
            self.readers.extend(found)


def _reader(network: nn.Layer, group: Group, part: Slice) -> Reader | None:
    owner, _, leaf = part.parameter.rpartition(".")
    if layer_of(part.parameter) not in group.consumers:
        return None
    layer = find(network, owner)
    if isinstance(layer, RNNBase):
        return Reader(group.name, layer, part.indices) if leaf == "weight_ih_l0" and part.axis == 1 else None
    if leaf != "weight" or not isinstance(layer, _ConvNd | nn.Linear) or part.axis == output_axis(layer):
        return None
    blocks = getattr(layer, "_groups", 1)
    if blocks > 1 and output_axis(layer) == 0:  # each block of a grouped convolution reads channels of its own
        channels = [part.indices + block * part.size for block in range(blocks)]
        return Reader(group.name, layer, np.concatenate(channels, axis=1))
    return Reader(group.name, layer, part.indices)


class Seen:
    """What readers received in the last pass."""

    def __init__(self) -> None:
        self._values: list[tuple[Reader, paddle.Tensor]] = []

    def add(self, reader: Reader, value: paddle.Tensor) -> None:
        """Note what a reader received; its gradient is kept if it gets one."""
        if not value.stop_gradient:
            value.retain_grads()
        self._values.append((reader, value))

    def take(self) -> list[tuple[Reader, paddle.Tensor]]:
        """All that was received since the last call."""
        found, self._values = self._values, []
        return found


@contextmanager
def watched(reads: Reads) -> Iterator[Seen]:
    """Within it everything that readers receive is noted."""
    seen = Seen()

    def hook(reader: Reader) -> Callable[[Any, Any], None]:
        return lambda layer, received: seen.add(reader, received[0])

    hooks = [before(reader.layer, hook(reader)) for reader in reads.readers]
    try:
        yield seen
    finally:
        for one in hooks:
            one.remove()


def activity(network: nn.Layer, groups: Sequence[Group], data: Split, *, batch_size: int = 128) -> Scores:
    """How often each unit's output is not zero: 1 - APoZ (Hu et al., "Network Trimming", 2016).

    The average percentage of zeros (APoZ) is taken over examples and positions of what the next layers
    read: after the rectifier, and after pooling where that lies between.

    Raises:
        TechniqueRefused: no layer reads the units of a group, or none of them is ever zero, so that nothing
            rectifies them.
    """
    reads = Reads(network, groups)
    sums = {group.name: np.zeros(group.units) for group in groups}
    counts = dict.fromkeys(sums, 0)
    with float_inputs(network), watched(reads) as seen:
        for start in range(0, len(data), batch_size):
            outputs_of(network, data.inputs[start : start + batch_size], batch_size)
            for reader, value in seen.take():
                found = reader.by_unit(value != 0)
                sums[reader.group] += found.sum(axis=(0, 2))
                counts[reader.group] += found.shape[0] * found.shape[2]
    scores = {name: total / max(1, counts[name]) for name, total in sums.items()}
    for group in groups:
        if scores[group.name].min() == 1.0:
            raise TechniqueRefused(
                f"no output of the {group.kind} of {group.name!r} is ever zero, so nothing rectifies them: "
                "exclude it, or choose another importance than apoz"
            )
    return scores
