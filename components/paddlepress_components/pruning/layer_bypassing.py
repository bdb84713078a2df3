"""Layers that a network stops using while it trains, so that taking them out afterwards changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle

from paddlepress.forward.layer_hooks import after
from paddlepress.network.edits import find
from paddlepress.training.hooks import Hook

WINDOW = 0.5
"""The share of the training in which layers are bypassed; in the rest the others settle."""


class Bypassing(Hook):
    """Bypasses more and more layers, one at a time, for good.

    Which layers are bypassed is kept where checkpoints find it.

    Args:
        network: what trains.
        names: the layers to choose from.
        count: how many are bypassed in the end.
        choose: gives the least needed of some layers, as the network is now.

    """

    def __init__(
        self, network: paddle.nn.Layer, names: Sequence[str], count: int, choose: Callable[[Sequence[str]], str]
    ) -> None:
        self._network, self._names, self._count, self._choose = network, tuple(names), count, choose
        self.auxiliary = paddle.nn.Layer()
        self._order = paddle.zeros([len(names)], "int64")  # 1 for the layer that was bypassed first; 0: not bypassed
        self.auxiliary.register_buffer("order", self._order)
        self._hooks: dict[str, Any] = {}

    @property
    def bypassed(self) -> list[str]:
        """The layers, the one that was bypassed first first."""
        order = self._order.numpy()
        return [self._names[place] for place in order.argsort(kind="stable") if order[place]]

    def after_step(self, step: int, total: int) -> None:
        due = min(self._count, int(self._count * step / (WINDOW * total)))
        while len(self.bypassed) < due:
            gone = self.bypassed
            chosen = self._choose([name for name in self._names if name not in gone])
            order = self._order.numpy()
            order[self._names.index(chosen)] = len(gone) + 1
            self._order.set_value(order)
            self._bypass(chosen)
        for name in self.bypassed:  # resumed: those that were bypassed before
            self._bypass(name)

    def end(self) -> None:
        """Let the network use its layers again."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks.clear()

    def _bypass(self, name: str) -> None:
        if name not in self._hooks:
            layer = find(self._network, name)
            self._hooks[name] = after(layer, lambda layer, given, gave: given[0])
