"""Pruning that goes on while the network trains."""

from __future__ import annotations

from typing import Literal

import numpy as np
import paddle

from paddlepress.network.edits import parameter
from paddlepress.training.hooks import Hook
from paddlepress.training.masks import Masks, values
from paddlepress_components.pruning import magnitude, weight_scores
from paddlepress_components.pruning.patterns import Choice
from paddlepress_components.pruning.patterns import Masks as Kept

RAMP = 0.5  # share of the training in which sparsity rises; the rest recovers at full sparsity
UPDATES = 50  # new masks on the way


def share_at(step: int, total: int) -> float | None:
    """How much of the way to the last sparsity is to be done after a step, along the cubic schedule.

    Returns:
        0 to 1; None where masks stay as they are.
    """
    ramp = max(1, int(RAMP * total))
    every = max(1, ramp // UPDATES)
    if step > ramp or (step % every and step != ramp):
        return None
    return magnitude.cubic(step, ramp, 0.0, 1.0)


class Running:
    """A number for each of some weights, kept where checkpoints find it.

    Args:
        network: has the weights.
        names: theirs.
        start: what the numbers are at first.
    """

    def __init__(self, network: paddle.nn.Layer, names: tuple[str, ...], start: float) -> None:
        self.layer = paddle.nn.Layer()
        self.by_name: dict[str, paddle.Tensor] = {}
        for number, name in enumerate(names):
            tensor = paddle.full_like(parameter(network, name), start)
            self.layer.register_buffer(f"of_{number}", tensor)
            self.by_name[name] = tensor


class GradualPruning(Hook):
    """Prunes along the cubic schedule.

    A weight once pruned is zero and stays it. Scores by gradient are `|w * g|` of the steps since the masks
    were last made.

    Args:
        network: what trains.
        names: its parameters to prune.
        choice: what to prune.
        criterion: what a weight's score is.
    """

    def __init__(
        self,
        network: paddle.nn.Layer,
        names: tuple[str, ...],
        choice: Choice,
        criterion: Literal["magnitude", "gradient"] = "magnitude",
    ) -> None:
        self._network, self._names, self._choice = network, names, choice
        self._masks: Masks | None = None
        self._seen = Running(network, names if criterion == "gradient" else (), 0.0)
        self.auxiliary = self._seen.layer

    def after_pass(self) -> None:
        """Look at the gradients."""
        with paddle.no_grad():
            for name, seen in self._seen.by_name.items():
                target = parameter(self._network, name)
                if target.grad is not None:
                    paddle.assign(seen + paddle.abs(target * target.grad), seen)

    def after_step(self, step: int, total: int) -> None:
        share = share_at(step, total)
        if self._masks is None and step > 0:
            # Resumed: the masks of the last update are the zeros of the weights.
            self._masks = Masks.of_zeros(self._network, self._names)
        elif share is not None:
            if self._masks is not None:
                self._masks.enforce()
            self._masks = Masks(self._network, self._choice.keep(self._scores(), share))
        if self._masks is not None:
            self._masks.enforce()

    def _scores(self) -> weight_scores.Scores:
        if not self._seen.by_name:
            return weight_scores.by_magnitude(self._network, self._names)
        scores = {
            name: weight_scores.scored(values(self._network, name), seen.numpy())
            for name, seen in self._seen.by_name.items()
        }
        with paddle.no_grad():
            for seen in self._seen.by_name.values():
                paddle.assign(paddle.zeros_like(seen), seen)
        return scores


class MovementPruning(Hook):
    """Keeps the weights that training moves away from zero: Sanh, Wolf and Rush, "Movement Pruning", NeurIPS 2020.

    The network computes with masked weights. A weight's score is the sum of `-w * g` over all steps, where `g`
    is the gradient at the masked weight and `w` the weight itself, masked or not (equations 3 and 5 of the
    paper): it rises while the loss asks for a larger magnitude. Masked weights keep their values and their
    scores go on, so they can come back until the cubic schedule ends; `settle` then makes them zeros.

    Args:
        network: what trains.
        names: its parameters to prune; zeros among them stay zeros.
        choice: what to prune.
    """

    def __init__(self, network: paddle.nn.Layer, names: tuple[str, ...], choice: Choice) -> None:
        self._targets = {name: parameter(network, name) for name in names}
        self._network, self._choice = network, choice
        self._scores, self._masks = Running(network, names, 0.0), Running(network, names, 1.0)
        self.auxiliary = paddle.nn.LayerList([self._scores.layer, self._masks.layer])
        self._kept: dict[str, paddle.Tensor] = {}

    def before_pass(self) -> None:
        """Have the network see masked weights."""
        with paddle.no_grad():
            for name, target in self._targets.items():
                self._kept[name] = paddle.assign(target)
                paddle.assign(target * self._masks.by_name[name], target)

    def after_pass(self) -> None:
        """Give the weights back, add to the scores, and leave gradients to weights that are not masked only."""
        with paddle.no_grad():
            for name, target in self._targets.items():
                paddle.assign(self._kept.pop(name), target)
                if target.grad is not None:
                    score = self._scores.by_name[name]
                    paddle.assign(score - target * target.grad, score)
                    paddle.assign(target.grad * self._masks.by_name[name], target.grad)

    def after_step(self, step: int, total: int) -> None:
        share = share_at(step, total)
        if share is None:
            return
        scores = {
            name: weight_scores.scored(target.numpy(), self._scores.by_name[name].numpy())
            for name, target in self._targets.items()
        }
        for name, mask in self._choice.keep(scores, share).items():
            self._masks.by_name[name].set_value(mask.astype(self._masks.by_name[name].numpy().dtype))

    def settle(self) -> Kept:
        """Make masked weights zeros; the masks."""
        kept = {name: np.asarray(mask.numpy() != 0) for name, mask in self._masks.by_name.items()}
        Masks(self._network, kept).enforce()
        return kept
