"""Straight-through training, on grids whose scales follow the weights.

After each step a scale is set by a closed form, so that the grid always fits the weights as they are:

- 8 bits: the largest magnitude is the last code (Jacob et al., "Quantization and Training of Neural Networks
  for Efficient Integer-Arithmetic-Only Inference", CVPR 2018).
- 4 and 2 bits: one step of the alternating minimization of |w - scale * code|^2, scale = <w, code> / <code, code>
  with the codes that the scale before gives (Zhang et al., "LQ-Nets", ECCV 2018, section 3.2).
- 1 bit: the same formula, which is the mean magnitude there (Rastegari et al., "XNOR-Net", ECCV 2016,
  equation 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import paddle
from paddle import nn

from paddlepress.network.edits import Quantize, parameter
from paddlepress.network.grids import fit_scale
from paddlepress.spec.tensors import Array
from paddlepress.training.fake_quantization import Latent
from paddlepress.training.hooks import Hook

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class FollowingScales(Hook):
    """Has the network see weights on grids, whose scales follow the weights after each step.

    Args:
        model: whose weights train; they are read to fit the first scales.
        edits: the grids of its weights, without groups.
    """

    def __init__(self, model: Model, edits: Iterable[Quantize]) -> None:
        self.auxiliary = nn.Layer()
        self._grids = [_Grid(model, edit) for edit in edits]
        for number, grid in enumerate(self._grids):
            self.auxiliary.register_buffer(f"scale_{number}", grid.scale)
        self._begun = False

    def scales(self) -> dict[str, Array]:
        """The scales as they are, as float32 arrays by weight."""
        return {grid.edit.parameter: grid.scale.numpy().reshape(-1) for grid in self._grids}

    def after_step(self, step: int, total: int) -> None:
        # The first call is before any step, and after a resumed training has read its scales.
        if self._begun:
            with paddle.no_grad():
                for grid in self._grids:
                    grid.follow()
        self._begun = True

    def before_pass(self) -> None:
        with paddle.no_grad():
            for grid in self._grids:
                scale = grid.spread()
                grid.latent.enter(grid.latent.codes(scale), scale)

    def after_pass(self) -> None:
        with paddle.no_grad():
            for grid in reversed(self._grids):
                grid.latent.leave()


class _Grid:
    def __init__(self, model: Model, edit: Quantize) -> None:
        target = parameter(model.network, edit.parameter)
        self.edit = edit
        self.latent = Latent(target, edit, edit.parameter in model.masked())
        scale = fit_scale(np.asarray(target.numpy()), edit.bits, edit.axis, reduce_range=edit.reduce_range)
        kept = [int(size) if axis == edit.axis else 1 for axis, size in enumerate(target.shape)]
        self.scale = paddle.to_tensor(scale.reshape(kept))
        self._summed = [axis for axis in range(len(kept)) if axis != edit.axis]

    def spread(self) -> paddle.Tensor:
        return paddle.expand(self.scale, self.latent.target.shape)

    def follow(self) -> None:
        """Fit the scale to the weight, given the scale before."""
        target = self.latent.target
        if self.edit.bits == 8:
            largest = paddle.max(paddle.abs(target), axis=self._summed, keepdim=True)
            fitted, fits = largest / self.latent.levels, largest > 0
        else:
            codes = self.latent.codes(self.spread())
            products = paddle.sum(target * codes, axis=self._summed, keepdim=True)
            squares = paddle.sum(codes * codes, axis=self._summed, keepdim=True)
            fitted, fits = products / paddle.clip(squares, min=1.0), squares > 0
        # What rounds to nothing but zeros keeps its scale: its weights may grow again.
        tiny = float(np.finfo(np.float32).tiny)
        paddle.assign(paddle.clip(paddle.where(fits, fitted, self.scale), min=tiny), self.scale)
