"""Hooks: what takes part in a training beside the network, its data and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import paddle


class Hook:
    """Masks, grids, codebooks, scores and schedules that act while a network trains. Override what it needs.

    Attributes:
        auxiliary: a layer whose parameters learn along and whose buffers are kept with the weights, so that a
            training that was killed goes on with them; None: there are none.
    """

    auxiliary: paddle.nn.Layer | None = None

    def before_pass(self) -> None:
        """Give the network the weights that it is to compute with, in training and in validation."""

    def after_pass(self) -> None:
        """Give it back the weights that learn, and turn gradients, where there are any, into theirs."""

    def after_step(self, done: int, total: int) -> None:
        """Change weights after a step; called before the first one too.

        Args:
            done: steps so far: 0 before the first, more where a training is resumed.
            total: steps in all.
        """


class Auxiliary(Hook):
    """Has the parameters of a layer learn along, such as those of a loss."""

    def __init__(self, layer: paddle.nn.Layer) -> None:
        self.auxiliary = layer


@contextmanager
def passing(*hooks: Hook) -> Iterator[None]:
    """Within it the network has the weights that it is to compute with; what came first is undone last."""
    entered: list[Hook] = []
    try:
        for hook in hooks:
            hook.before_pass()
            entered.append(hook)
        yield
    finally:
        for hook in reversed(entered):
            hook.after_pass()


def with_auxiliaries(network: paddle.nn.Layer, hooks: Sequence[Hook]) -> paddle.nn.Layer:
    """A network and all that learns along, as one layer."""
    found = [hook.auxiliary for hook in hooks if hook.auxiliary is not None]
    return paddle.nn.LayerList([network, *found]) if found else network
