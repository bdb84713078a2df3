"""Masks that hold weights at zero while a network trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.network.edits import parameter
from paddlepress.training.hooks import Hook


class Masks:
    """For some of a network's parameters, which of their weights may differ from zero."""

    def __init__(self, network: paddle.nn.Layer, keep: Mapping[str, NDArray[np.bool_]]) -> None:
        self._held = [
            (target, paddle.to_tensor(mask), paddle.zeros_like(target))
            for target, mask in ((parameter(network, name), mask) for name, mask in keep.items())
            if not mask.all()
        ]

    @classmethod
    def of_zeros(cls, network: paddle.nn.Layer, names: Iterable[str]) -> Masks:
        """Masks that keep today's zeros."""
        return cls(network, {name: values(network, name) != 0 for name in names})

    def enforce(self) -> None:
        """Set what is masked to zero: to +0.0, which a product with the mask would not always give."""
        with paddle.no_grad():
            for target, mask, zeros in self._held:
                paddle.assign(paddle.where(mask, target, zeros), target)


def values(network: paddle.nn.Layer, name: str) -> NDArray[Any]:
    """A parameter's values."""
    return np.asarray(parameter(network, name).numpy())


class KeepZeros(Hook):
    """Puts the zeros of some parameters back after every step.

    Which weights are zero is read when training begins, after it has loaded its checkpoint if it has one.
    """

    def __init__(self, network: paddle.nn.Layer, names: Iterable[str]) -> None:
        self._network = network
        self._names = tuple(names)
        self._masks: Masks | None = None

    def after_step(self, done: int, total: int) -> None:
        if self._masks is None:
            self._masks = Masks.of_zeros(self._network, self._names)
        self._masks.enforce()
