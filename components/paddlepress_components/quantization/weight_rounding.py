"""Rounding one layer's weight with what calibration data say about its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
from paddlepress_components.quantization.input_products import Products
from paddlepress_components.quantization.layer_functions import output_mean, with_weight

_CACHED_NUMBERS = 2**27  # of a layer's inputs that AdaRound keeps: 512 MiB


def fixed_zeros(weight: Array, edit: Quantize, masked: bool) -> NDArray[np.bool_]:
    """The weights whose code is 0 whatever else is rounded how: pruned ones, and on 1 bit rows of nothing else."""
    zeros = (weight == 0) & masked
    if edit.bits == 1:
        zeros |= quantize_weight(weight, 1, edit.axis, edit.group).codes == 0
    return np.asarray(zeros)


def least_error(found: Sequence[tuple[Quantized, NDArray[Any]]]) -> Quantized:
    """Of several roundings of a weight, the one of the least error for each row; for all where they share a scale.

    Args:
        found: roundings to grids of the same bits, axis and group, each with the error of the outputs that each row
            computes, [rows]. Of equals the first is taken.
    """
    best, least = found[0]
    for other, errors in found[1:]:
        if best.axis is None:
            best, least = (other, errors) if errors.sum() < least.sum() else (best, least)
            continue
        better = errors < least
        codes, scale = np.moveaxis(best.codes, best.axis, 0).copy(), best.scale.copy()
        codes[better], scale[better] = np.moveaxis(other.codes, best.axis, 0)[better], other.scale[better]
        best = Quantized(codes=np.moveaxis(codes, 0, best.axis), scale=scale, axis=best.axis, group=best.group)
        least = np.where(better, errors, least)
    return best


def round_to_nearest(
    layer: nn.Layer, edit: Quantize, inputs: Iterable[paddle.Tensor], masked: bool, covers: Sequence[Cover]
) -> Quantized:
    """A layer's weight with the nearest codes of the grid that an edit states.

    Args:
        layer, edit, inputs, masked, covers: as for `round_by_gptq`.
    """
    weight = np.asarray(layer.weight.numpy())
    zeros = fixed_zeros(weight, edit, masked)
    products, axis = Products.of(layer, inputs), output_axis(layer)
    found = [
        quantize_weight(weight, edit.bits, edit.axis, edit.group, edit.reduce_range, cover, zeros=zeros)
        for cover in covers
    ]
    return least_error([(one, products.errors(as_rows(one.values() - weight, axis))) for one in found])


def round_by_adaround(
    layer: nn.Layer,
    edit: Quantize,
    pairs: Iterable[tuple[paddle.Tensor, paddle.Tensor]],
    masked: bool,
    covers: Sequence[Cover],
    settings: adaround.Settings,
) -> Quantized:
    """A layer's weight on the grid that an edit states, by `adaround`.

    Args:
        layer: has its float weight yet.
        edit: the grid.
        pairs: what the layer receives in the quantized network, and what it gives in the float one.
        masked: whether its zeros are to stay.
        covers: as for `round_by_gptq`.
        settings: how long.
    """
    weight = np.asarray(layer.weight.numpy())
    inputs, targets = _cached(pairs, isinstance(layer, _ConvNd))
    channels = targets.shape[layer._channel_dim if isinstance(layer, _ConvNd) else -1]
    found = []
    for cover in covers:
        scale = fit_scale(weight, edit.bits, edit.axis, edit.group, edit.reduce_range, cover)
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
        found.append(Quantized(codes=codes, scale=scale, axis=edit.axis, group=edit.group))
    if len(found) == 1:
        return found[0]
    return least_error([(one, _output_errors(layer, one, inputs, targets, settings.batch_size)) for one in found])


def _output_errors(
    layer: nn.Layer, rounded: Quantized, inputs: paddle.Tensor, targets: paddle.Tensor, batch_size: int
) -> NDArray[np.float64]:
    """The squared error of the outputs that each row of a rounded weight computes, up to a factor, [rows]."""
    forward = with_weight(layer, paddle.to_tensor(rounded.values()))
    total: Any = 0.0
    for start in range(0, len(inputs), batch_size):
        with paddle.no_grad():
            off = forward(inputs[start : start + batch_size]) - targets[start : start + batch_size]
            total = total + len(off) * output_mean(layer, off.square()).numpy().astype(np.float64)
    # A transposed convolution's groups compute several channels with one row.
    return np.asarray(total.reshape(-1, rounded.codes.shape[output_axis(layer)]).sum(axis=0))


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
    covers: Sequence[Cover],
    damping: float,
    by_activity: bool,
) -> Quantized:
    """A layer's weight on the grid that an edit states, by `gptq`.

    Args:
        layer: has its float weight yet.
        edit: the grid.
        inputs: what the layer receives in the quantized network.
        masked: whether its zeros are to stay.
        covers: what the grid is fitted to, as for `fit_scale`; of several the one of the least error of the output.
        damping, by_activity: as for `gptq`.
    """
    weight = np.asarray(layer.weight.numpy())
    axis = output_axis(layer)
    values, zeros = as_rows(weight, axis), as_rows(fixed_zeros(weight, edit, masked), axis)
    places = np.arange(values.shape[1]) // (edit.group or values.shape[1])
    groups = int(places[-1]) + 1
    products = Products.of(layer, inputs, edit.group or 1)
    found = []
    for cover in covers:
        scale = fit_scale(weight, edit.bits, edit.axis, edit.group, edit.reduce_range, cover)
        scales = np.broadcast_to(scale.reshape(-1, groups), (len(values), groups)).copy()
        codes = np.zeros(values.shape, np.int8)
        for part, hessian in zip(products.parts, products.hessians, strict=True):
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
        errors = products.errors(codes * scales[:, places] - values)
        front = (weight.shape[axis], *weight.shape[:axis], *weight.shape[axis + 1 :])
        codes = np.moveaxis(codes.reshape(front), 0, axis)
        fitted = Quantized(codes=codes, scale=scales if edit.group else scale, axis=edit.axis, group=edit.group)
        found.append((fitted, errors))
    return least_error(found)
