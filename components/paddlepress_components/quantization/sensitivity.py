"""What it costs and saves to quantize one layer of a network, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress.artifact.codec import encode_quantized
from paddlepress.forward.outputs import outputs_of
from paddlepress.network.grids import quantize_weight
from paddlepress.spec.tensors import Inputs, Quantized
from paddlepress.tasks import Task
from paddlepress_components.quantization.weight_rounding import fixed_zeros

if TYPE_CHECKING:
    from paddlepress.core.progress import Progress
    from paddlepress.network.model import Model
    from paddlepress_components.quantization.fields import IntegerFields

Bits = Literal[8, 4, 2, 1]
Size = Callable[[Quantized, int], int]
"""`(weight, its bits) -> bytes`"""


@dataclass(frozen=True)
class Option:
    """A layer at some bits.

    Attributes:
        bits: of its weight.
        bytes: that its weight then takes.
        damage: how far the network's predictions then are from those before, see `divergence`.
    """

    bits: Bits
    bytes: int
    damage: float


def options(
    model: Model,
    layers: Mapping[str, nn.Layer],
    candidates: Sequence[Bits],
    fields: IntegerFields,
    inputs: Inputs,
    size: Size,
    progress: Progress,
) -> dict[str, list[Option]]:
    """Measure every layer at every number of bits, all other layers being as they are.

    Weights are rounded to the nearest code, inputs stay float. The model is as before afterwards.

    Args:
        model: runs once for each layer and candidate.
        layers: its layers to measure, by name.
        candidates: numbers of bits.
        fields: the grids.
        inputs: float32 array [n, *shape] to predict.
        size: how bytes are counted.
        progress: shows how many layers are done.
    """
    exact = outputs_of(model.network, inputs)
    masked = set(model.masked())
    found: dict[str, list[Option]] = {}
    for name, layer in progress.track(layers.items(), len(layers), "measuring what layers can bear"):
        weight = np.asarray(layer.weight.numpy())
        found[name] = []
        for bits in candidates:
            edit = fields.grid_of(name, layer, bits)
            zeros = fixed_zeros(weight, edit, edit.parameter in masked)
            rounded = quantize_weight(
                weight, bits, edit.axis, edit.group, edit.reduce_range, fields.covers(bits)[0], zeros=zeros
            )
            layer.weight.set_value(rounded.values())
            damage = divergence(model.task, exact, outputs_of(model.network, inputs))
            found[name].append(Option(bits, size(rounded, bits), damage))
        layer.weight.set_value(weight)
    return found


def divergence(task: Task, exact: NDArray[Any], other: NDArray[Any]) -> float:
    """The task's divergence of outputs from those they should be, computed in float64; at least 0.

    Args:
        task: what the network is for.
        exact: outputs [n, ...] as they should be.
        other: outputs [n, ...] as they are.
    """
    first, second = (paddle.to_tensor(values.astype(np.float64)) for values in (exact, other))
    return max(0.0, float(task.divergence(second, first)))


def encoded_bytes(weight: Quantized, bits: int) -> int:
    """Bytes of a weight in the artifact, entropy coded, with scales and tables."""
    return sum(array.nbytes for array in encode_quantized("weight", weight)[1].values())


def nominal_bytes(weight: Quantized, bits: int) -> int:
    """Bytes of a weight with `bits` for each number and 4 bytes for each scale."""
    return -(-weight.codes.size * bits // 8) + 4 * weight.scale.size
