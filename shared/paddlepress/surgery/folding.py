"""Batch normalizations folded into the layer before them, which then does what both did.

A batch normalization that has finished learning multiplies each channel by a factor and adds a shift:

    gamma * (x - mean) / sqrt(variance + epsilon) + beta

Where it alone reads what a convolution or dense layer computes, the factor goes into that layer's weight
and the shift into its bias (Krishnamoorthi, "Quantizing deep convolutional networks for efficient
inference", 2018, section 3.2.2; Jacob et al., CVPR 2018, section 3.2). Which ones do is read from the
traced program, so that it works on networks that nobody prepared for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from paddlepress.network.edits import FoldNorm, find
from paddlepress.network.layer_kinds import weighted_layers
from paddlepress.spec.tensors import Array
from paddlepress.surgery.program import Operation, Program, read

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.model import Model

_PRODUCTS = frozenset(
    f"{kind}{dimensions}{transposed}"
    for kind in ("conv", "depthwise_conv")
    for dimensions in ("2d", "3d")
    for transposed in ("", "_transpose")
)
# What one-dimensional convolutions do to their weight, and to their result, around a two-dimensional one.
_RESHAPES = frozenset({"assign", "squeeze", "unsqueeze", "reshape"})


def fold_norms(model: Model, layers: Collection[str] | None = None) -> Model:
    """Fold every batch normalization that can be folded, in place.

    Left alone are those that compute their statistics anew for each batch, whose layer is quantized or
    shared already, or whose layer or norm is used more than once.

    Args:
        model: its network is changed; in evaluation mode it computes what it did.
        layers: fold into these layers only, by name; None: into any.

    Returns:
        The model with a `FoldNorm` for each.

    Raises:
        TechniqueRefused: Paddle can't trace the network.
    """
    fixed = model.on_a_grid()
    edits = [
        FoldNorm(layer=layer, norm=norm)
        for layer, norm in foldable(read(model), model.network).items()
        if (layers is None or layer in layers) and f"{layer}.weight" not in fixed
    ]
    for edit in edits:
        _fold(model.network, edit)
    return model.with_edits(*edits)


def foldable(program: Program, network: paddle.nn.Layer) -> dict[str, str]:
    """The layers whose output a batch normalization alone reads, each with that norm's name.

    Args:
        program: the trace of the network in evaluation mode.
        network: where the names are looked up.
    """
    from paddle import nn

    trace = _Trace(program)
    weighted = weighted_layers(network)
    found: dict[str, str] = {}
    for operation in program.operations:
        if operation.name != "batch_norm" or not operation.attributes.get("use_global_stats"):
            continue
        norm = _owner(trace.own_parameter(operation.inputs[1]), "_mean")
        layer = trace.layer_before(operation)
        if norm is None or layer not in weighted or isinstance(find(network, norm), nn.SyncBatchNorm):
            continue
        # The older class nn.BatchNorm can have an activation of its own, which folding would lose.
        if getattr(find(network, norm), "_act", None) is None:
            found[layer] = norm
    return found


def _owner(parameter: str | None, leaf: str) -> str | None:
    """The layer whose parameter of a given name this is."""
    owner, _, name = (parameter or "").rpartition(".")
    return owner if owner and name == leaf else None


class _Trace:
    """A program, and the lookups that going back from a norm to a layer needs."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._makers = {value: operation for operation in program.operations for value in operation.outputs}
        self._readers = Counter(
            value for operation in program.operations for value in (*operation.inputs, *operation.captured)
        )
        self._readers.update(program.outputs)

    def own_parameter(self, value: int | None) -> str | None:
        """The name of the parameter that a value is, or is reshaped from, if only one operation and layer use it."""
        while value is not None and self._readers[value] == 1:
            if value in self._program.parameters:
                name = self._program.parameters[value]
                return None if name in self._program.shared else name
            maker = self._makers.get(value)
            value = maker.inputs[0] if maker is not None and maker.name in _RESHAPES else None
        return None

    def layer_before(self, norm: Operation) -> str:
        """The name of the layer whose result a norm alone reads; empty if there is none."""
        bias = None
        value = norm.inputs[0]
        while value is not None and self._readers[value] == 1:
            maker = self._makers.get(value)
            if maker is None:
                return ""
            if maker.name == "add" and bias is None:
                bias = self.own_parameter(maker.inputs[1])
                value = maker.inputs[0] if bias is not None else None
            elif maker.name == "squeeze":
                value = maker.inputs[0]
            else:
                layer = _owner(self.own_parameter(maker.inputs[1]), "weight") if self._multiplies(maker, norm) else None
                return layer if layer is not None and bias in (None, f"{layer}.bias") else ""
        return ""

    def _multiplies(self, operation: Operation, norm: Operation) -> bool:
        """Whether an operation is a product whose outputs run along the axis that the norm takes for channels."""
        if operation.name == "matmul":
            # Of more dimensions, the norm's channels are another axis than the dense layer's outputs.
            return len(self._program.shapes[operation.outputs[0]]) == 2
        layouts = [str(found.attributes.get("data_format", "NCHW")).startswith("NC") for found in (operation, norm)]
        return operation.name in _PRODUCTS and layouts[0] == layouts[1]


def _fold(network: paddle.nn.Layer, edit: FoldNorm) -> None:
    layer, norm = find(network, edit.layer), find(network, edit.norm)
    factor, shift = norm_as_affine(norm)
    weight = np.asarray(layer.weight.numpy())
    bias = np.zeros_like(shift) if layer.bias is None else np.asarray(layer.bias.numpy(), np.float64)
    edit.replay(network)
    layer.weight.set_value(multiply_outputs(weight, factor, layer))
    layer.bias.set_value((shift + factor * bias).astype(weight.dtype))


def norm_as_affine(norm: paddle.nn.Layer) -> tuple[Array, Array]:
    """What a batch normalization multiplies each channel by and then adds, as float64 arrays [channels]."""
    mean, variance = (np.asarray(found.numpy(), np.float64) for found in (norm._mean, norm._variance))
    gamma = 1.0 if norm.weight is None else np.asarray(norm.weight.numpy(), np.float64)
    beta = 0.0 if norm.bias is None else np.asarray(norm.bias.numpy(), np.float64)
    factor = gamma / np.sqrt(variance + norm._epsilon)
    return factor, beta - factor * mean


def multiply_outputs(weight: Array, factor: Array, layer: paddle.nn.Layer) -> Array:
    """The weight with which a layer's outputs are multiplied by one factor each.

    Args:
        weight: of a convolution [out, in / groups, *kernel], a transposed one [in, out / groups, *kernel],
            or a dense layer [in, out].
        factor: [out].
        layer: whose weight it is.
    """
    from paddlepress.network.layer_kinds import output_axis

    groups = int(getattr(layer, "_groups", 1))
    if output_axis(layer) == 0:
        spread = factor.reshape(-1, *[1] * (weight.ndim - 1))
    else:
        # Input i of a transposed convolution in groups gives the outputs of its group only.
        by_group = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        spread = by_group.reshape(*by_group.shape, *[1] * (weight.ndim - 2))
    # Adding zero turns -0.0 into 0.0: a pruned weight may meet a negative factor.
    return np.asarray(weight * spread + 0.0, weight.dtype)
