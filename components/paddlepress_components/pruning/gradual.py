"""Pruning that goes on while the network trains."""

from __future__ import annotations

from typing import Literal

import paddle

from paddlepress.training.masks import Masks, values
from paddlepress_components.pruning import magnitude

RAMP = 0.5  # share of the training in which sparsity rises; the rest recovers at full sparsity
UPDATES = 50  # new masks on the way


class GradualPruning:
    """A training constraint that prunes along the cubic schedule.

    A weight once pruned is zero, the smallest magnitude there is, so it stays pruned.

    Args:
        network: what trains.
        names: its parameters to prune.
        first, last: sparsity at the first step and at the end of the ramp.
        scope: see `magnitude.keep`.
    """

    def __init__(
        self,
        network: paddle.nn.Layer,
        names: tuple[str, ...],
        first: float,
        last: float,
        scope: Literal["global", "layer"],
    ) -> None:
        self._network, self._names, self._scope = network, names, scope
        self._first, self._last = first, last
        self._masks: Masks | None = None

    def __call__(self, step: int, total: int) -> None:
        ramp = max(1, int(RAMP * total))
        every = max(1, ramp // UPDATES)
        if self._masks is None and step > 0:
            # Resumed: the masks of the last update are the zeros of the weights.
            self._masks = Masks.of_zeros(self._network, self._names)
        elif step <= ramp and (step % every == 0 or step == ramp):
            if self._masks is not None:
                self._masks.enforce()
            target = magnitude.cubic(step, ramp, self._first, self._last)
            weights = {name: values(self._network, name) for name in self._names}
            self._masks = Masks(self._network, magnitude.keep(weights, target, self._scope))
        if self._masks is not None:
            self._masks.enforce()
