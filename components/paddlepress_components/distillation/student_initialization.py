"""Models of the structure of another, with weights to start from that are not its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.conv import _ConvNd
from paddle.nn.layer.rnn import RNNBase, RNNCellBase

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.architectures import build
from paddlepress.network.edits import Narrow, Quantize, find, parameter
from paddlepress.network.grids import as_rows, put_on_grid
from paddlepress.network.layer_kinds import output_axis
from paddlepress.network.model import Model
from paddlepress.spec.tensors import Array, spread_scale

NUDGE = 0.1
"""How far weights are moved to make a model another, as a share of their own standard deviation."""


def seeds(seed: int, count: int) -> list[int]:
    """Seeds for several models, all from one and each its own, below 2^32."""
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(count)]


def reinitialized(model: Model, seed: int) -> Model:
    """A model of the same structure with weights that were never trained.

    Each layer initializes its weights as its class does. Where units were cut, it keeps the initial values of
    as many units as are left, enlarged for the inputs that are missing; masked weights keep the pattern of
    zeros and are enlarged likewise, so that signals are as large as in a whole network (Evci et al., "Gradient
    Flow in Sparse Neural Networks and How Lottery Tickets Win", AAAI 2022). Gives no model whose weights are
    on a grid or share values: grids, codebooks and the scales of inputs were fitted to the weights it had.

    Args:
        model: gives structure, masks and history; it does not change.
        seed: of the weights.

    Raises:
        TechniqueRefused: weights are quantized or shared.
    """
    for name, what in model.on_a_grid().items():
        raise TechniqueRefused(
            f"{name} is {what}, and fresh weights would have no grid or codebook: they are fitted to weights that "
            "were trained. Distill before this, or start from the incoming weights"
        )
    paddle.seed(seed)
    network = build(model.architecture, model.inputs, model.task)
    for edit in model.edits:
        names = edit.shapes if isinstance(edit, Narrow) else ()
        before = {name: (parameter(network, name).numpy(), inputs_of_a_unit(network, name)) for name in names}
        edit.replay(network)
        for name, (value, inputs) in before.items():
            target = parameter(network, name)
            left = inputs_of_a_unit(network, name) / inputs
            target.set_value(narrowed(value, tuple(target.shape), left))
    for name in model.masked():
        pattern = parameter(model.network, name).numpy() != 0
        target = parameter(network, name)
        target.set_value(sparse(target.numpy(), pattern))
    network.eval()
    return replace(model, network=network, scales={})


def inputs_of_a_unit(network: nn.Layer, name: str) -> int:
    """How many inputs one of a layer's units sums through a weight; 1 where none are summed, as in an embedding."""
    owner, _, leaf = name.rpartition(".")
    layer, shape = find(network, owner), parameter(network, name).shape
    if isinstance(layer, RNNBase | RNNCellBase):
        return int(shape[1]) if len(shape) == 2 else 1  # [gates * units, inputs]
    if not isinstance(layer, _ConvNd | nn.Linear) or leaf != "weight":
        return 1
    axis = output_axis(layer)
    groups = getattr(layer, "_groups", 1) if axis == 1 else 1  # a transposed convolution's [in, out / groups, ...]
    return int(math.prod(shape) // (shape[axis] * groups))


def narrowed(value: Array, shape: tuple[int, ...], left: float) -> Array:
    """The leading part of an initial weight, enlarged by the root of how many inputs a unit has fewer.

    Args:
        value: any weight.
        shape: at most that of `value`, of as many dimensions.
        left: share of a unit's inputs that are left.
    """
    return np.ascontiguousarray(value[tuple(slice(size) for size in shape)] / np.sqrt(left), value.dtype)


def sparse(value: Array, pattern: Array) -> Array:
    """An initial weight with zeros where the pattern is false, enlarged by the root of the share that is left."""
    density = max(float(pattern.mean()), 1 / max(1, pattern.size))
    scale = 1 / np.sqrt(density) if value.ndim > 1 else 1.0
    return np.asarray(np.where(pattern, value * scale, 0), value.dtype)


def nudged(model: Model, seed: int) -> Model:
    """A copy whose weights are a little off, so that it learns another way: zeros, grids and sharing are kept.

    Normal noise of `NUDGE` standard deviations of each parameter that learns; the same for weights that share a
    value. Weights on a grid of integers are then rounded up or down by chance, the likelier the nearer: rounded to
    the nearest, those on a coarse grid would all be back where they were. Masked weights stay zero, and so does
    what shares a scale with nothing but zeros.

    Args:
        model: it does not change.
        seed: of the noise.
    """
    random = np.random.default_rng(seed)
    twin = model.copy()
    masked, shared, quantized = set(twin.masked()), twin.shared(), twin.quantized()
    for name, target in twin.network.named_parameters():
        if target.stop_gradient:
            continue
        value = np.asarray(target.numpy())
        noise = random.standard_normal(value.shape)
        if name in shared:
            _, first, places = np.unique(value, return_index=True, return_inverse=True)
            noise = noise.reshape(-1)[first][places].reshape(value.shape)
        moved = value + NUDGE * value.std() * noise
        if name in twin.scales:
            moved = _undecided(moved, value, quantized[name], twin.scales[name], random)
        if name in masked:
            moved[value == 0] = 0
        target.set_value(np.asarray(moved, value.dtype))
        if name in quantized:
            put_on_grid(twin, quantized[name], twin.scales.get(name))
    return twin


def _undecided(moved: Array, value: Array, grid: Quantize, scale: Array, random: np.random.Generator) -> Array:
    """Moved weights with as much noise as rounds them up or down by chance; 0 where all that shares a scale was 0."""
    alive = np.any(np.nan_to_num(as_rows(value, grid.axis, grid.group)), axis=1).reshape(scale.shape)
    # At one bit the codes are -1 and 1, two scales apart.
    step = spread_scale(scale * alive * (2 if grid.bits == 1 else 1), grid.axis, value.shape, grid.group)
    return np.where(step > 0, moved + step * random.uniform(-0.5, 0.5, value.shape), 0)
