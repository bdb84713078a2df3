"""Pruning in rounds, after each of which what is left starts again from where it was early in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import paddle

from paddlepress.training.hooks import Hook
from paddlepress.training.masks import Masks
from paddlepress_components.distillation.student_initialization import reinitialized
from paddlepress_components.pruning.patterns import Masks as Kept
from paddlepress_components.pruning.training_rounds import numbered

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.techniques import Context


class Train(Protocol):
    """Trains a model in place, with hooks."""

    def __call__(self, model: Model, context: Context, *hooks: Hook) -> Model: ...


class EarlyWeights(Hook):
    """The state of a network at one step of its training, kept where checkpoints find it.

    Args:
        network: what trains.
        share: of all steps, how many are done at that step; 0 is before the first.
    """

    def __init__(self, network: paddle.nn.Layer, share: float) -> None:
        self._network, self._share = network, share
        self.auxiliary = paddle.nn.Layer()
        self._kept: dict[str, paddle.Tensor] = {}
        for number, (name, tensor) in enumerate(network.state_dict().items()):
            self._kept[name] = paddle.assign(tensor)
            self.auxiliary.register_buffer(f"of_{number}", self._kept[name])

    def after_step(self, step: int, total: int) -> None:
        if step == round(self._share * total):
            self._copy(self._network.state_dict(), self._kept)

    def restore(self) -> None:
        """Give the network back what it had: parameters, and statistics of norms too."""
        self._copy(self._kept, self._network.state_dict())

    @staticmethod
    def _copy(source: dict[str, paddle.Tensor], target: dict[str, paddle.Tensor]) -> None:
        with paddle.no_grad():
            for name, tensor in source.items():
                paddle.assign(tensor, target[name])


def share_of_round(number: int, rounds: int, first: float, last: float) -> float:
    """How much of the way from the first sparsity to the last is done after a round.

    Each round removes the same share of the weights that are left (Frankle and Carbin, ICLR 2019).

    Args:
        number: of the round, from 1; after the last one the way is done.
        rounds: how many there are.
        first, last: sparsities, `first` below `last`, `last` below 1.
    """
    if number == rounds:
        return 1.0
    left = math.pow((1 - last) / (1 - first), number / rounds)
    return (1 - first) * (1 - left) / (last - first)


def train_and_rewind(
    model: Model,
    context: Context,
    rounds: int,
    epochs: int,
    early: float,
    prune: Callable[[Model, int], Kept],
    train: Train,
) -> Model:
    """Train from fresh weights, then several times prune, go back to early weights, and train again.

    Args:
        model: gives the structure and the zeros that stay; what was learned is not used.
        context: its seed gives the fresh weights.
        rounds: how often.
        epochs: of one training.
        early: how many of them are done when the weights are what they go back to.
        prune: gives masks of what stays of a trained model after a round, counted from 1.
        train: trains a model in place, with hooks.
    """
    model = reinitialized(model, context.seed)
    start = EarlyWeights(model.network, early / epochs)
    context.progress.note(f"training 1 of {rounds + 1}: fresh weights")
    model = train(model, numbered(context, 0, epochs), start)
    for number in range(1, rounds + 1):
        kept = prune(model, number)
        start.restore()
        Masks(model.network, kept).enforce()
        share = sum(int(mask.sum()) for mask in kept.values()) / sum(mask.size for mask in kept.values())
        context.progress.note(f"training {number + 1} of {rounds + 1}: {share:.2%} of the weights, as they were early")
        model = train(model, numbered(context, number, epochs))
    return model
