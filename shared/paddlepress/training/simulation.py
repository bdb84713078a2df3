"""Weights that are others while a network computes than while they learn.

A quantized weight is trained through a float weight of which the network only ever sees the rounded
values; rounding has no gradient, so the gradient at the rounded weight is taken as the float weight's
own: the straight-through estimator (Bengio, Léonard and Courville, "Estimating or Propagating Gradients
Through Stochastic Neurons for Conditional Computation", 2013). Here the float weight is what a parameter
holds between steps, so that optimizers and checkpoints need to know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import paddle

from paddlepress.artifact.codec import spread_scale
from paddlepress.grid import largest_code
from paddlepress.surgery.edits import Quantize, parameter

if TYPE_CHECKING:
    from paddlepress.model import Model


class Simulation(Protocol):
    """Something that changes weights for the time of a forward and backward pass."""

    def enter(self) -> None:
        """Give the network the weights that it is to compute with."""
        ...

    def leave(self) -> None:
        """Give it back the weights that learn, and turn gradients, where there are any, into theirs."""
        ...


class Simulations:
    """Several simulations as one: entered in their order, left in reverse."""

    def __init__(self, parts: Iterable[Simulation] = ()) -> None:
        self._parts = tuple(parts)

    def enter(self) -> None:
        for part in self._parts:
            part.enter()

    def leave(self) -> None:
        for part in reversed(self._parts):
            part.leave()


@contextmanager
def simulated(simulation: Simulation) -> Iterator[None]:
    """Within it the network has the weights that it is to compute with."""
    simulation.enter()
    try:
        yield
    finally:
        simulation.leave()


class OnGrid:
    """Quantized weights on the grids that they have, whose scales stay.

    Gradients of weights beyond the grid's ends are kept too: such a weight can come back.
    """

    def __init__(self, model: Model) -> None:
        masked = set(model.masked())
        self._grids = [
            _Grid(parameter(model.network, name), edit, model.scales[name], name in masked)
            for name, edit in model.quantized().items()
            if edit.bits < 16
        ]

    def enter(self) -> None:
        for grid in self._grids:
            grid.enter()

    def leave(self) -> None:
        for grid in self._grids:
            grid.leave()


class _Grid:
    def __init__(self, target: paddle.Tensor, edit: Quantize, scale: np.ndarray, masked: bool) -> None:
        shape = tuple(target.shape)
        self._target, self._bits, self._masked = target, edit.bits, masked
        self._scale = paddle.to_tensor(np.ascontiguousarray(spread_scale(scale, edit.axis, shape, edit.group)))
        self._levels = largest_code(edit.bits, edit.reduce_range)
        self._latent: paddle.Tensor | None = None

    def enter(self) -> None:
        with paddle.no_grad():
            self._latent = paddle.assign(self._target)
            paddle.assign(self._rounded(self._latent), self._target)

    def _rounded(self, latent: paddle.Tensor) -> paddle.Tensor:
        if self._bits > 1:
            return paddle.clip(paddle.round(latent / self._scale), -self._levels, self._levels) * self._scale
        signs = paddle.where(latent < 0, -paddle.ones_like(latent), paddle.ones_like(latent))
        return signs * self._scale * ((latent != 0).astype(latent.dtype) if self._masked else 1.0)

    def leave(self) -> None:
        with paddle.no_grad():
            paddle.assign(self._latent, self._target)
        self._latent = None


class Tied:
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

    def enter(self) -> None:
        if not self._places:
            self._read()
        self.tie()

    def tie(self) -> None:
        """Make shared values equal to the last bit again: a vectorized update may round them apart."""
        with paddle.no_grad():
            for target, (first, places) in zip(self._targets, self._places, strict=bool(self._places)):
                values = paddle.gather(target.flatten(), first)
                paddle.assign(paddle.gather(values, places).reshape(target.shape), target)

    def leave(self) -> None:
        with paddle.no_grad():
            for target, (first, places) in zip(self._targets, self._places, strict=True):
                if target.grad is None:
                    continue
                sums = paddle.zeros(first.shape, target.dtype)
                sums = paddle.scatter_nd_add(sums, places.reshape([-1, 1]), target.grad.flatten())
                paddle.assign(paddle.gather(sums, places).reshape(target.shape), target.grad)
