"""Rounding one layer's weight with what calibration data say about its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn.layer.conv import _ConvNd

from paddlepress.network.edits import Quantize
from paddlepress.network.grids import Cover, as_rows, fit_scale, largest_code, quantize_weight
from paddlepress.network.layer_kinds import output_axis
from paddlepress.spec.tensors import Array, Quantized, spread_scale
from paddlepress_components.quantization import adaround, gptq
from paddlepress_components.quantization.observed import input_channels, is_transposed, patches, with_weight

LARGEST_HESSIAN = 4096
"""Inputs that errors are fed back among; of a wider layer each run of so many is rounded by itself."""

_PATCH_NUMBERS = 2**25  # of one batch of patches: 128 MiB
_CACHED_NUMBERS = 2**27  # of a layer's inputs that AdaRound keeps: 512 MiB


def fixed_zeros(weight: Array, edit: Quantize, masked: bool) -> NDArray[np.bool_]:
    """The weights whose code is 0 whatever else is rounded how: pruned ones, and on 1 bit rows of nothing else."""
    zeros = (weight == 0) & masked
    if edit.bits == 1:
        zeros |= quantize_weight(weight, 1, edit.axis, edit.group).codes == 0
    return np.asarray(zeros)


def round_by_adaround(
    layer: nn.Layer,
    edit: Quantize,
    pairs: Iterable[tuple[paddle.Tensor, paddle.Tensor]],
    masked: bool,
    cover: Cover | None,
    settings: adaround.Settings,
) -> Quantized:
    """A layer's weight on the grid that an edit states, by `adaround`.

    Args:
        layer: has its float weight yet.
        edit: the grid.
        pairs: what the layer receives in the quantized network, and what it gives in the float one.
        masked: whether its zeros are to stay.
        cover: as for `fit_scale`.
        settings: how long.
    """
    weight = np.asarray(layer.weight.numpy())
    scale = fit_scale(weight, edit.bits, edit.axis, edit.group, edit.reduce_range, cover)
    inputs, targets = _cached(pairs, isinstance(layer, _ConvNd))
    channels = targets.shape[layer._channel_dim if isinstance(layer, _ConvNd) else -1]
    codes = adaround.adaround(
        weight,
        spread_scale(scale, edit.axis, weight.shape, edit.group),
        edit.bits,
        largest_code(edit.bits, edit.reduce_range),
        fixed_zeros(weight, edit, masked),
        lambda x, value: with_weight(layer, value)(x),
        inputs,
        targets,
        channels,
        settings,
    )
    return Quantized(codes=codes, scale=scale, axis=edit.axis, group=edit.group)


def _cached(pairs: Iterable[tuple[paddle.Tensor, paddle.Tensor]], images: bool) -> tuple[paddle.Tensor, paddle.Tensor]:
    """As many inputs and targets as fit, each one tensor; a dense layer's are [n, features] whatever they were."""
    kept: list[tuple[paddle.Tensor, paddle.Tensor]] = []
    numbers = 0
    for pair in pairs:
        kept.append(pair if images else (pair[0].flatten(0, -2), pair[1].flatten(0, -2)))
        numbers += pair[0].size + pair[1].size
        if numbers >= _CACHED_NUMBERS:
            break
    return paddle.concat([x for x, _ in kept]), paddle.concat([y for _, y in kept])


def round_by_gptq(
    layer: nn.Layer,
    edit: Quantize,
    inputs: Iterable[paddle.Tensor],
    masked: bool,
    cover: Cover | None,
    damping: float,
    by_activity: bool,
) -> Quantized:
    """A layer's weight on the grid that an edit states, by `gptq`.

    Args:
        layer, edit, masked, cover: as for `round_by_adaround`.
        inputs: what the layer receives in the quantized network.
        damping, by_activity: as for `gptq`.
    """
    weight = np.asarray(layer.weight.numpy())
    axis = output_axis(layer)
    scale = fit_scale(weight, edit.bits, edit.axis, edit.group, edit.reduce_range, cover)
    values, zeros = as_rows(weight, axis), as_rows(fixed_zeros(weight, edit, masked), axis)
    places = np.arange(values.shape[1]) // (edit.group or values.shape[1])
    groups = int(places[-1]) + 1
    scales = np.broadcast_to(scale.reshape(-1, groups), (len(values), groups)).copy()
    codes = np.zeros(values.shape, np.int8)
    parts = _parts(layer, edit.group or 1)
    for part, hessian in zip(parts, _hessians(layer, parts, inputs), strict=True):
        whole = set(places[part.columns].tolist()) - {*places[: part.columns.start], *places[part.columns.stop :]}
        rows = gptq.Rows(
            values=values[part.outputs, part.columns],
            zeros=zeros[part.outputs, part.columns],
            scales=scales[part.outputs],
            places=places[part.columns],
            bits=edit.bits,
            reduce_range=edit.reduce_range,
            refitted=frozenset(whole if edit.group else ()),
            cover=cover,
        )
        codes[part.outputs, part.columns], scales[part.outputs] = gptq.gptq(rows, hessian, damping, by_activity)
    front = (weight.shape[axis], *weight.shape[:axis], *weight.shape[axis + 1 :])
    codes = np.moveaxis(codes.reshape(front), 0, axis)
    return Quantized(codes=codes, scale=scales if edit.group else scale, axis=edit.axis, group=edit.group)


@dataclass(frozen=True)
class _Part:
    """Weights whose errors are fed back among each other.

    Attributes:
        outputs, columns: where they are among the weight's rows, see `grid.as_rows`.
        channels: the input channels that they read, counted within `block`.
        block: which group of the convolution they belong to.
    """

    outputs: slice
    columns: slice
    channels: slice
    block: int


def _parts(layer: nn.Layer, group: int) -> list[_Part]:
    """The parts of a layer's weight, of at most about `LARGEST_HESSIAN` columns, that groups do not straddle."""
    weight = layer.weight
    blocks = layer._groups if isinstance(layer, _ConvNd) else 1
    kernel = int(np.prod(weight.shape[2:], dtype=np.int64))
    channels, outputs = input_channels(layer) // blocks, weight.shape[output_axis(layer)]
    unit = group // gcd(group, kernel)
    step = max(unit, LARGEST_HESSIAN // kernel // unit * unit)
    found = []
    for block in range(blocks):
        # A transposed convolution's groups lie one after the other along its columns, another's along its rows.
        begin = block * channels * kernel if is_transposed(layer) else 0
        share = outputs // blocks
        own = slice(0, outputs) if is_transposed(layer) else slice(block * share, (block + 1) * share)
        for first in range(0, channels, step):
            read = slice(first, min(first + step, channels))
            columns = slice(begin + read.start * kernel, begin + read.stop * kernel)
            found.append(_Part(own, columns, read, block))
    return found


def _hessians(layer: nn.Layer, parts: list[_Part], inputs: Iterable[paddle.Tensor]) -> Iterator[NDArray[np.float64]]:
    """The sum of the outer products of what each part reads, float64 [columns, columns]."""
    blocks = 1 + max(part.block for part in parts)
    runs = {(part.channels.start, part.channels.stop): part.channels for part in parts}
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for x in inputs:
        for found in _batches(layer, x):
            positions, channels, kernel = found.shape
            grouped = found.reshape([positions, blocks, channels // blocks, kernel]).transpose([1, 0, 2, 3])
            for key, run in runs.items():
                read = grouped[:, :, run].flatten(2)
                products = paddle.matmul(read, read, transpose_x=True).numpy().astype(np.float64)
                sums[key] = sums[key] + products if key in sums else products
    for part in parts:
        yield sums[part.channels.start, part.channels.stop][part.block]


def _batches(layer: nn.Layer, x: paddle.Tensor) -> Iterator[paddle.Tensor]:
    """The patches of an input, a few examples at a time."""
    one = patches(layer, x[:1]).size
    step = max(1, _PATCH_NUMBERS // max(1, one))
    for start in range(0, len(x), step):
        yield patches(layer, x[start : start + step])
