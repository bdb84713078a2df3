"""The grids that quantized weights and inputs live on.

Weights: symmetric signed integers, zero at code 0, so that a pruned weight stays exactly zero.
Inputs: unsigned 8-bit integers with a zero point, as ONNX Runtime's and oneDNN's CPU kernels take them.
See Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018.
"""

from __future__ import annotations

import numpy as np

from paddlepress.artifact.codec import Array, Quantized, broadcast_scale
from paddlepress.errors import TechniqueRefused
from paddlepress.model import Model
from paddlepress.surgery.edits import Quantize, parameter

FULL_RANGE = 127
REDUCED_RANGE = 63  # AVX2 adds two products of u8 and s8 in 16 bits: 7-bit weights can't overflow them


def quantize_weight(value: Array, axis: int | None, reduce_range: bool = False) -> Quantized:
    """Put a weight on the grid that just covers its largest magnitude.

    Args:
        value: float32 array, finite.
        axis: gets a scale per index; None for one scale.
        reduce_range: 7 bits (-63..63) where it would be 8 (-127..127).

    Returns:
        int8 codes and float32 scales; a channel of zeros gets the scale 1.
    """
    levels = REDUCED_RANGE if reduce_range else FULL_RANGE
    others = tuple(i for i in range(value.ndim) if i != axis)
    largest = np.abs(value).max(axis=None if axis is None else others)
    scale = np.atleast_1d(largest / np.float32(levels)).astype(np.float32)
    # A subnormal scale would lose the codes it was made for; such a channel is nothing but zeros in effect.
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    codes = np.clip(np.rint(value / broadcast_scale(scale, axis, value.ndim)), -levels, levels)
    return Quantized(codes=codes.astype(np.int8), scale=scale, axis=axis)


def round_to_float16(value: Array) -> Array:
    """The float16 values nearest to a float32 array, as float32; -0.0 becomes 0.0.

    Raises:
        OverflowError: a value is beyond float16.
    """
    with np.errstate(over="ignore"):
        rounded = value.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise OverflowError(f"a weight of {np.abs(value).max():g} is beyond float16, whose largest is 65504")
    return np.asarray(rounded + np.float32(0.0), np.float32)


def input_grid(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of unsigned 8-bit integers that cover a range; zero is always among them.

    Args:
        low, high: the range to cover; widened to take in 0.

    Returns:
        A scale above 0, and the code of zero, 0 to 255.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    if scale < float(np.finfo(np.float32).tiny):
        return 1.0, 0
    return scale, int(np.clip(round(-low / scale), 0, 255))


def put_on_grid(model: Model, edit: Quantize) -> None:
    """Round a weight of a model to the grid that an edit states, and keep its scales in `model.scales`.

    Raises:
        TechniqueRefused: a weight that float16 can't hold.
    """
    target = parameter(model.network, edit.parameter)
    value = np.asarray(target.numpy())
    if edit.bits == 16:
        try:
            target.set_value(round_to_float16(value))
        except OverflowError as error:
            raise TechniqueRefused(f"{edit.layer} can't be stored in 16 bits: {error}") from None
        return
    quantized = quantize_weight(value, edit.axis, edit.reduce_range)
    target.set_value(quantized.values())
    model.scales[edit.parameter] = quantized.scale
