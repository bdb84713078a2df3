"""The grids that quantized weights and inputs live on.

Weights: symmetric signed integers, zero at code 0, so that a pruned weight stays exactly zero.
Inputs: unsigned 8-bit integers with a zero point, as ONNX Runtime's and oneDNN's CPU kernels take them.
See Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.edits import Quantize, parameter
from paddlepress.network.model import Model
from paddlepress.spec.tensors import BFLOAT16, Array, Quantized, spread_scale

FULL_RANGE = 127
REDUCED_RANGE = 63  # AVX2 adds two products of u8 and s8 in 16 bits: 7-bit weights can't overflow them

Cover = Literal["max", "mse"]
"""What a grid is fitted to: `max`, so that the largest magnitude is its last code; `mse`, so that the mean
squared error of rounding is least, at which the largest weights are clipped."""

_SHRINKS = np.linspace(1.0, 0.02, 99)  # shares of the largest magnitude that `mse` tries


def largest_code(bits: int, reduce_range: bool = False) -> int:
    """The largest code of a symmetric grid: 127 (63 reduced), 7, 1 and 1 for 8, 4, 2 and 1 bits."""
    return (REDUCED_RANGE if reduce_range else FULL_RANGE) if bits == 8 else max(1, 2 ** (bits - 1) - 1)


def as_rows(value: Array, axis: int | None, group: int | None = None) -> Array:
    """A weight with one row for each scale, see `codec.spread_scale`; short rows are filled with NaN."""
    if axis is None:
        return value.reshape(1, -1)
    rows = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
    if group is None:
        return rows
    missing = -rows.shape[1] % group
    filled = np.pad(rows, ((0, 0), (0, missing)), constant_values=np.nan)
    return filled.reshape(-1, group)


def fit_scale(
    value: Array,
    bits: int,
    axis: int | None = None,
    group: int | None = None,
    reduce_range: bool = False,
    cover: Cover | None = None,
) -> Array:
    """The scales of the grid that fits a weight best.

    One bit: the mean magnitude of what is not zero, at which the squared error of a sign times a scale is
    least (Rastegari et al., "XNOR-Net", ECCV 2016, equation 6). Two bits: the ternary grid of least squared
    error (Li, Zhang and Liu, "Ternary Weight Networks", 2016, approximate it). Else as `cover` says.

    Args:
        value: float32 array, finite.
        bits: 8, 4, 2 or 1.
        axis, group: which weights share a scale.
        reduce_range: 7 bits (-63..63) where it would be 8.
        cover: by default `max` for 8 bits, `mse` for fewer.

    Returns:
        float32 scales above 0: [1], [size of the axis], or [size of the axis, groups]; 1 for nothing but zeros.
    """
    rows = np.abs(as_rows(value, axis, group))
    largest = np.nan_to_num(np.nanmax(rows, axis=1), nan=0.0) if rows.size else np.zeros(len(rows), np.float32)
    if bits == 1:
        counts = np.count_nonzero(np.nan_to_num(rows), axis=1)
        scale = np.nansum(rows, axis=1, dtype=np.float64) / np.maximum(counts, 1)
    elif (cover or ("max" if bits == 8 else "mse")) == "max":
        scale = largest / np.float32(largest_code(bits, reduce_range))
    else:
        scale = _least_error(rows, largest, largest_code(bits, reduce_range))
    scale = np.asarray(scale, np.float32)
    # A subnormal scale would lose the codes it was made for; such a row is nothing but zeros in effect.
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    return scale if group is None or axis is None else scale.reshape(value.shape[axis], -1)


def _least_error(magnitudes: Array, largest: Array, levels: int) -> Array:
    """For each row the scale, among shares of the one that covers the row, of the least squared error."""
    best, least = largest / np.float32(levels), np.full(len(largest), np.inf)
    for shrink in _SHRINKS:
        scale = np.maximum(largest * np.float32(shrink / levels), np.finfo(np.float32).tiny)[:, None]
        rounded = np.minimum(np.rint(magnitudes / scale), levels) * scale
        error = np.nansum(np.square(magnitudes - rounded), axis=1, dtype=np.float64)
        best = np.where(error < least, scale[:, 0], best)
        least = np.minimum(error, least)
    return best


def quantize_weight(
    value: Array,
    bits: int = 8,
    axis: int | None = None,
    group: int | None = None,
    reduce_range: bool = False,
    cover: Cover | None = None,
    scale: Array | None = None,
    zeros: Array | None = None,
) -> Quantized:
    """Put a weight on a grid.

    Args:
        value, bits, axis, group, reduce_range, cover: as for `fit_scale`.
        scale: of the grid; fitted to the weight where it is left out.
        zeros: boolean array of the weights that a 1-bit grid, which has no zero, keeps at zero; None: those
            of rows that have nothing else.

    Returns:
        int8 codes, and float32 scales.
    """
    if scale is None:
        scale = fit_scale(value, bits, axis, group, reduce_range, cover)
    spread = spread_scale(scale, axis, value.shape, group)
    if bits == 1:
        codes = np.where(value < 0, -1, 1)
        codes[_all_zero(value, axis, group) if zeros is None else zeros] = 0
    else:
        levels = largest_code(bits, reduce_range)
        codes = np.clip(np.rint(value / spread), -levels, levels)
    return Quantized(codes=codes.astype(np.int8), scale=scale, axis=axis, group=group)


def _all_zero(value: Array, axis: int | None, group: int | None) -> Array:
    empty = ~np.any(np.nan_to_num(as_rows(value, axis, group)), axis=1)
    shape = (-1,) if group is None or axis is None else (value.shape[axis], -1)
    return np.broadcast_to(spread_scale(empty.reshape(shape), axis, value.shape, group), value.shape)


def round_to_16_bits(value: Array, dtype: Literal["float16", "bfloat16"]) -> Array:
    """The values of a 16-bit type nearest to a float32 array (ties to even), as float32; -0.0 becomes 0.0.

    Raises:
        OverflowError: a value is beyond the type, or none.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = value.astype(dtype).astype(np.float32)
    if not np.isfinite(rounded).all():
        largest = "" if dtype == BFLOAT16 else ", whose largest is 65504"
        raise OverflowError(f"a weight of {np.abs(value).max():g} is beyond {dtype}{largest}")
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


def put_on_grid(model: Model, edit: Quantize, scale: Array | None = None, cover: Cover | None = None) -> None:
    """Round a weight of a model to the grid that an edit states, and keep its scales in `model.scales`.

    Args:
        model: its weight is set.
        edit: which weight, and the grid.
        scale: the grid's scales, such as learned ones; fitted to the weight where it is left out.
        cover: as for `fit_scale`.

    Raises:
        TechniqueRefused: a weight that 16 bits can't hold.
    """
    target = parameter(model.network, edit.parameter)
    value = np.asarray(target.numpy())
    if edit.bits == 16:
        try:
            target.set_value(round_to_16_bits(value, edit.format))
        except OverflowError as error:
            raise TechniqueRefused(f"{edit.layer} can't be stored in 16 bits: {error}") from None
        return
    zeros = value == 0 if edit.parameter in model.masked() else None
    quantized = quantize_weight(
        value, edit.bits, edit.axis, edit.group, edit.reduce_range, cover, scale=scale, zeros=zeros
    )
    target.set_value(quantized.values())
    model.scales[edit.parameter] = quantized.scale
