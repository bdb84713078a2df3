"""Residual additions on integers: the outputs that are added are rounded, as deployment rounds them.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, appendix A.2, rescale both operands of an addition to integers. Without it a convolution whose
result is added to a shortcut has to compute on floats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.grid import input_grid
from paddlepress.surgery.edits import Quantize, QuantizeOutput, find
from paddlepress.surgery.layers import float_inputs, simulate_quantized_output

if TYPE_CHECKING:
    from paddlepress.model import Model

Range = tuple[float, float]


def round_operands(model: Model, inputs: NDArray[Any], read_range: Callable[[NDArray[Any]], Range]) -> Model:
    """Round what the residual additions of a quantized model add.

    A shortcut that a convolution reads too is rounded to the grid of that convolution's input, so that both
    read the same integers.

    Args:
        model: its convolutions' inputs are quantized; changed in place.
        inputs: calibration data, float32 [n, *shape].
        read_range: the range to cover, from a sample of an operand's values.

    Returns:
        The model with the edits recorded: as it is where it has no such addition.
    """
    layers = {edit.layer: edit for edit in model.quantized().values() if edit.input_scale is not None}
    found = operands_to_round(model, layers, inputs[:1])
    with float_inputs(model.network):
        ranges = output_ranges(model, [layer for layer, reader in found.items() if not reader], inputs, read_range)
    edits = []
    for layer, reader in found.items():
        scale, zero_point = _grid(layers[reader]) if reader else input_grid(*ranges[layer])
        edits.append(QuantizeOutput(layer=layer, scale=scale, zero_point=zero_point, reader=reader))
        simulate_quantized_output(find(model.network, layer), scale, zero_point)
    return model.with_edits(*edits)


def operands_to_round(model: Model, layers: Collection[str], example: NDArray[Any]) -> dict[str, str]:
    """The layers whose outputs residual additions add, each with the layer whose input has the same grid.

    Args:
        model: its network is run once, in evaluation mode, and not changed.
        layers: those with quantized inputs.
        example: float32 array [1, *shape].

    Returns:
        For each layer a reader of its output, among `layers`; empty where its output has a grid of its own.
    """
    import paddle

    from paddlepress.surgery.residual import operands

    return {
        operand.layer: operand.reader if operand.reader in layers else ""
        for operand in operands(model, paddle.to_tensor(example))
        if operand.reader in layers or not operand.whole
    }


def output_ranges(
    model: Model, layers: list[str], inputs: NDArray[Any], read_range: Callable[[NDArray[Any]], Range]
) -> Mapping[str, Range]:
    """The ranges of layers' outputs over calibration data, by layer; see `round_operands` for the arguments."""
    kept: dict[str, list[NDArray[Any]]] = {name: [] for name in layers}
    random = np.random.default_rng(0)

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(layer: Any, received: Any, output: Any) -> None:
            values = output.numpy().reshape(-1)
            # The extremes and a sample tell the range as well as all of it, in memory that stays small.
            sample = random.choice(values, min(values.size, 20_000), replace=False)
            kept[name].append(np.concatenate([sample, [values.min(), values.max()]]))

        return hook

    hooks = [find(model.network, name).register_forward_post_hook(keep(name)) for name in layers]
    try:
        model.predict(inputs, batch_size=64)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: read_range(np.concatenate(values)) for name, values in kept.items()}


def _grid(edit: Quantize) -> tuple[float, int]:
    assert edit.input_scale is not None
    return edit.input_scale, edit.input_zero_point
