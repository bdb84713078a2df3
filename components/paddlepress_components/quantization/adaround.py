"""Rounding weights up or down so that a layer's output changes least.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray

# The rectified sigmoid is stretched to this range and clipped to 0..1 (equation 23).
_LOW, _HIGH = -0.1, 1.1
_WEIGHT = 0.01  # of the term that drives every weight to either side
_WARM_UP = 0.2  # share of the steps without that term
_FIRST_BETA, _LAST_BETA = 20.0, 2.0


@dataclass(frozen=True)
class Settings:
    """How long and how fast roundings are learned.

    Attributes:
        steps: of Adam.
        batch_size: examples in a step.
        learning_rate: of Adam.
        seed: of the order of examples.
    """

    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-2
    seed: int = 0


def adaround(
    weight: NDArray[Any],
    scale: NDArray[Any],
    bits: int,
    levels: int,
    zeros: NDArray[np.bool_],
    forward: Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor],
    inputs: paddle.Tensor,
    targets: paddle.Tensor,
    channels: int,
    settings: Settings,
) -> NDArray[np.int8]:
    """Learn for each weight which of the two codes around it it takes.

    Each weight is its lower code plus a rectified sigmoid of what is learned, so that it can lie between both
    codes while it learns; a term that anneals drives it to one of them.

    Args:
        weight: float32 array.
        scale: of the grid, as it multiplies codes of the weight's shape.
        bits: 8, 4, 2 or 1.
        levels: the largest code; codes of 1 bit are -1 and 1.
        zeros: weights that get the code 0 whatever happens.
        forward: `(input, weight) -> output` of the layer.
        inputs: what the layer receives in the quantized network, [n, ...].
        targets: what it should give, [n, ...].
        channels: of the output, over which squared errors are summed; over all else they are averaged.
        settings: how long.

    Returns:
        int8 array of codes.
    """
    lower, gap = neighbours(weight, scale, bits, levels)
    share = np.clip((np.clip(weight / scale, -levels, levels) - lower) / gap, 0, 1)
    start = -np.log((_HIGH - _LOW) / (share - _LOW) - 1).astype(np.float32)
    learned = paddle.to_tensor(start, stop_gradient=False)
    spread = np.broadcast_to(scale, weight.shape) * ~zeros
    base, step = (paddle.to_tensor((part * spread).astype(np.float32)) for part in (lower, gap))
    free = paddle.to_tensor((~zeros).astype(np.float32))
    optimizer = paddle.optimizer.Adam(settings.learning_rate, parameters=[learned])
    random = np.random.default_rng(settings.seed)
    batch = min(settings.batch_size, len(inputs))
    for number in range(settings.steps):
        chosen = paddle.to_tensor(random.choice(len(inputs), batch, replace=False))
        up = _rectified(learned)
        error = forward(paddle.gather(inputs, chosen), base + step * up) - paddle.gather(targets, chosen)
        loss = error.square().sum() * (channels / error.size)
        beta = annealed(number, settings.steps)
        if beta is not None:
            loss = loss + _WEIGHT * (free * (1 - (2 * up - 1).abs() ** beta)).sum()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
    upwards = _rectified(learned).numpy() >= 0.5
    return np.where(zeros, 0, lower + gap * upwards).astype(np.int8)


def neighbours(
    weight: NDArray[Any], scale: NDArray[Any], bits: int, levels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The code below each weight, within the grid, and how far above it the next one is."""
    if bits == 1:
        return np.full(weight.shape, -1, np.float32), np.full(weight.shape, 2, np.float32)
    lower = np.clip(np.floor(weight / scale), -levels, levels - 1)
    return lower.astype(np.float32), np.ones(weight.shape, np.float32)


def annealed(step: int, steps: int) -> float | None:
    """The exponent of the rounding term, which falls from 20 to 2; None while the term does not count yet."""
    begin = _WARM_UP * steps
    if step < begin:
        return None
    return _FIRST_BETA + (_LAST_BETA - _FIRST_BETA) * (step - begin) / max(1.0, steps - begin)


def _rectified(learned: paddle.Tensor) -> paddle.Tensor:
    return paddle.clip(F.sigmoid(learned) * (_HIGH - _LOW) + _LOW, 0, 1)
