"""Weights that share values, and go on sharing them while they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import paddle

from paddlepress.network.edits import parameter
from paddlepress.training.hooks import Hook

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class Tied(Hook):
    """Shared weights: all that have the same value today keep having the same value.

    A shared value learns from the sum of the gradients of the weights that have it (Han, Mao and Dally, "Deep
    Compression", ICLR 2016, equation 3). Which weights share a value is read before the first step, after
    training has loaded its checkpoint if it has one.
    """

    def __init__(self, model: Model) -> None:
        self._targets = [parameter(model.network, name) for name in model.shared()]
        self._places: list[tuple[paddle.Tensor, paddle.Tensor]] = []

    def _read(self) -> None:
        for target in self._targets:
            _, first, places = np.unique(target.numpy(), return_index=True, return_inverse=True)
            self._places.append((paddle.to_tensor(first), paddle.to_tensor(places.reshape(-1))))

    def before_pass(self) -> None:
        if not self._places:
            self._read()
        self.tie()

    def tie(self) -> None:
        """Make shared values equal to the last bit again: a vectorized update may round them apart."""
        with paddle.no_grad():
            for target, (first, places) in zip(self._targets, self._places, strict=bool(self._places)):
                values = paddle.gather(target.flatten(), first)
                paddle.assign(paddle.gather(values, places).reshape(target.shape), target)

    def after_pass(self) -> None:
        with paddle.no_grad():
            for target, (first, places) in zip(self._targets, self._places, strict=True):
                if target.grad is None:
                    continue
                zeros, gradients = paddle.zeros(first.shape, target.dtype), target.grad.flatten()
                # On a CPU several times faster than scatter_nd_add or index_add.
                sums = paddle.put_along_axis(zeros, places, gradients, 0, reduce="add")
                paddle.assign(paddle.gather(sums, places).reshape(target.shape), target.grad)
