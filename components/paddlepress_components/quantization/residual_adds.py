"""Residual additions on integers: the outputs that are added are rounded, as deployment rounds them.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, appendix A.2, rescale both operands of an addition to integers. Without it a convolution whose
result is added to a shortcut has to compute on floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
    import paddle

    from paddlepress.surgery.residual import operands

    layers = {edit.layer: edit for edit in model.quantized().values() if edit.input_scale is not None}
    found = [
        operand if operand.reader in layers else replace(operand, reader="")
        for operand in operands(model, paddle.to_tensor(inputs[:1]))
        if operand.reader in layers or not operand.whole
    ]
    with float_inputs(model.network):
        own = [operand.layer for operand in found if not operand.reader]
        ranges = _output_ranges(model, own, inputs, read_range)
    edits = []
    for layer, reader in {operand.layer: operand.reader for operand in found}.items():
        scale, zero_point = _grid(layers[reader]) if reader else input_grid(*ranges[layer])
        edits.append(QuantizeOutput(layer=layer, scale=scale, zero_point=zero_point, reader=reader))
        simulate_quantized_output(find(model.network, layer), scale, zero_point)
    return model.with_edits(*edits)


def _grid(edit: Quantize) -> tuple[float, int]:
    assert edit.input_scale is not None
    return edit.input_scale, edit.input_zero_point


def _output_ranges(
    model: Model, layers: list[str], inputs: NDArray[Any], read_range: Callable[[NDArray[Any]], Range]
) -> Mapping[str, Range]:
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
