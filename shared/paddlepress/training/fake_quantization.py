"""Fake quantization: weights that are rounded while a network computes and floats while they learn.

A quantized weight is trained through a float weight of which the network only ever sees the rounded
values; rounding has no gradient, so the gradient at the rounded weight is taken as the float weight's
own: the straight-through estimator (Bengio, Léonard and Courville, "Estimating or Propagating Gradients
Through Stochastic Neurons for Conditional Computation", 2013). Here the float weight is what a parameter
holds between steps, so that optimizers and checkpoints need to know nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import paddle

from paddlepress.network.edits import Quantize, parameter
from paddlepress.network.grids import largest_code
from paddlepress.spec.tensors import Array, spread_scale
from paddlepress.training.hooks import Hook

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class Latent:
    """A weight that the network sees rounded to a grid, while the parameter keeps the float weight that learns.

    Args:
        target: the parameter.
        edit: the grid, but for its scales.
        masked: whether its zeros are to stay zeros where the grid has none, which is the case at 1 bit.
    """

    def __init__(self, target: paddle.Tensor, edit: Quantize, masked: bool) -> None:
        self.target = target
        self.levels = largest_code(edit.bits, edit.reduce_range)
        self._signs, self._masked = edit.bits == 1, masked
        self._kept: paddle.Tensor | None = None

    def codes(self, scale: paddle.Tensor) -> paddle.Tensor:
        """What the parameter's weights are in steps of `scale`, rounded and clipped; a float tensor."""
        if not self._signs:
            return paddle.clip(paddle.round(self.target / scale), -self.levels, self.levels)
        if self._masked:
            return paddle.sign(self.target)
        return paddle.scale((self.target >= 0).astype(self.target.dtype), 2.0, -1.0)

    def enter(self, codes: paddle.Tensor, scale: paddle.Tensor) -> None:
        """Have the network see `codes * scale`."""
        self._kept = paddle.assign(self.target)
        paddle.assign(codes * scale, self.target)

    def leave(self) -> None:
        """Give the parameter the weight back that learns; gradients stay as they are."""
        paddle.assign(self._kept, self.target)
        self._kept = None


class OnGrid(Hook):
    """Quantized weights on the grids that they have, whose scales stay.

    Gradients of weights beyond the grid's ends are kept too: such a weight can come back.
    """

    def __init__(self, model: Model) -> None:
        masked = set(model.masked())
        self._grids = [
            (Latent(target, edit, name in masked), _spread(model.scales[name], edit, tuple(target.shape)))
            for name, edit in model.quantized().items()
            if edit.bits < 16
            for target in [parameter(model.network, name)]
        ]

    def before_pass(self) -> None:
        with paddle.no_grad():
            for latent, scale in self._grids:
                latent.enter(latent.codes(scale), scale)

    def after_pass(self) -> None:
        with paddle.no_grad():
            for latent, _ in reversed(self._grids):
                latent.leave()


def _spread(scale: Array, edit: Quantize, shape: tuple[int, ...]) -> paddle.Tensor:
    """Scales, one for each weight: multiplying by fewer of them costs Paddle more on a CPU."""
    return paddle.to_tensor(np.array(np.broadcast_to(spread_scale(scale, edit.axis, shape, edit.group), shape)))
