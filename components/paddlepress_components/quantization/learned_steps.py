"""Learned step size quantization: the grids' scales are trained along with the weights.

Esser et al., "Learned Step Size Quantization", ICLR 2020. With v = w / s, Q the largest code and code =
clip(round(v), -Q, Q), the network sees code * s, and the loss L has the gradients

    dL/dw = dL/d(code * s)                where |v| < Q, else 0
    dL/ds = sum of dL/d(code * s) * r     with r = code - v where |v| < Q, else code

the latter times 1 / sqrt(N * Q) for a step that N weights share (equations 3 to 5, section 2.2). At 1 bit the
codes are signs: r = code, and every weight gets its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import paddle
from paddle import nn

from paddlepress.network.edits import Quantize, parameter
from paddlepress.network.grids import as_rows, largest_code
from paddlepress.spec.tensors import Array
from paddlepress.training.fake_quantization import Latent
from paddlepress.training.hooks import Hook

if TYPE_CHECKING:
    from paddlepress.network.model import Model

_LEAST = 0.01  # of its first size, which a step stays above: it must not reach 0 or change its sign


def first_steps(weight: Array, edit: Quantize) -> Array:
    """The steps that training starts from: 2 <|w|> / sqrt(Q) (section 2.1), and <|w|> at 1 bit.

    The mean is over the weights that are not zero, since pruned ones say nothing of the others' size.

    Args:
        weight: float32 array.
        edit: its grid.

    Returns:
        float32 array above 0, [1] or [size of the grid's axis]; 1 for nothing but zeros.
    """
    rows = np.abs(as_rows(weight, edit.axis)).astype(np.float64)
    mean = rows.sum(axis=1) / np.maximum(np.count_nonzero(rows, axis=1), 1)
    steps = mean if edit.bits == 1 else 2 * mean / math.sqrt(largest_code(edit.bits, edit.reduce_range))
    return np.where(steps < np.finfo(np.float32).tiny, 1.0, steps).astype(np.float32)


class LearnedSteps(Hook):
    """Has the network see weights on grids, whose scales learn along and stay above zero.

    What learns is each step as a multiple of its first size. An optimizer such as Adam changes every
    parameter by about its learning rate, however large the gradient; steps of a hundredth would jump.

    Args:
        model: whose weights train; they are read for the first steps.
        edits: the grids of its weights, without groups.
    """

    def __init__(self, model: Model, edits: Iterable[Quantize]) -> None:
        self.auxiliary = nn.Layer()
        self._grids = [_Grid(model, edit, self.auxiliary) for edit in edits]
        for number, grid in enumerate(self._grids):
            self.auxiliary.add_parameter(f"step_{number}", grid.factor)

    def scales(self) -> dict[str, Array]:
        """The steps as they are, as float32 arrays by weight."""
        return {grid.edit.parameter: grid.steps().numpy().reshape(-1) for grid in self._grids}

    def after_step(self, step: int, total: int) -> None:
        with paddle.no_grad():
            for grid in self._grids:
                paddle.assign(paddle.clip(grid.factor, min=_LEAST), grid.factor)

    def before_pass(self) -> None:
        with paddle.no_grad():
            for grid in self._grids:
                grid.enter()

    def after_pass(self) -> None:
        with paddle.no_grad():
            for grid in reversed(self._grids):
                grid.leave()


class _Grid:
    def __init__(self, model: Model, edit: Quantize, auxiliary: nn.Layer) -> None:
        target = parameter(model.network, edit.parameter)
        self.edit = edit
        self._latent = Latent(target, edit, edit.parameter in model.masked())
        kept = [int(size) if axis == edit.axis else 1 for axis, size in enumerate(target.shape)]
        self._first = paddle.to_tensor(first_steps(np.asarray(target.numpy()), edit).reshape(kept))
        self.factor = auxiliary.create_parameter(kept, default_initializer=nn.initializer.Constant(1.0))
        self._summed = [axis for axis in range(len(kept)) if axis != edit.axis]
        shared = int(np.prod(target.shape)) // int(np.prod(kept))
        self._damping = 1 / math.sqrt(shared * self._latent.levels)
        self._seen: tuple[paddle.Tensor, paddle.Tensor] | None = None

    def steps(self) -> paddle.Tensor:
        with paddle.no_grad():
            return self._first * self.factor

    def enter(self) -> None:
        spread = paddle.expand(self.steps(), self._latent.target.shape)
        codes = self._latent.codes(spread)
        self._latent.enter(codes, spread)
        self._seen = codes, spread

    def leave(self) -> None:
        target = self._latent.target
        gradient = target.grad
        self._latent.leave()
        assert self._seen is not None
        codes, spread = self._seen
        self._seen = None
        if gradient is None:
            return
        # Paddle sets a gradient in place: what reads the old one comes first.
        if self.edit.bits == 1:
            self._learn(gradient * codes)
            return
        scaled = target / spread
        inside = (paddle.abs(scaled) < self._latent.levels).astype(scaled.dtype)
        self._learn(gradient * (codes - scaled * inside))
        target.grad = gradient * inside

    def _learn(self, products: paddle.Tensor) -> None:
        """Set the step's gradient from what each weight adds to it."""
        total = paddle.sum(products, axis=self._summed, keepdim=True)
        self.factor.grad = total * self._first * self._damping
