"""Units that fall silent while a network trains, so that cutting them out afterwards changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from paddle import nn

from paddlepress.network.edits import parameter
from paddlepress.surgery.groups import Group
from paddlepress.training.hooks import Hook
from paddlepress.training.masks import Masks
from paddlepress_components.pruning.weight_importance import Scores, by_unit


def still_kept(units: int, final: int, done: float) -> int:
    """How many units are left on the way to `final`: many go early, as Zhu and Gupta (2017) let weights go.

    Args:
        units: before.
        final: after.
        done: how much of the way, 0 to 1.
    """
    return final + round((units - final) * (1 - done) ** 3)


class Silencing(Hook):
    """Sets more and more units to zero, the least important first, for good.

    Zero is everything that goes with a unit, what reads it included, for an activation may make something of a
    zero. So to cut it out changes nothing, unless a norm takes its statistics over the units (`Group.mixed`).
    Which units are silent is told from the weights, so training can go on from a checkpoint.

    Args:
        network: what is trained.
        groups: whose units fall silent.
        final: how many of each group's speak in the end.
        score: says how important the units are now.
        updates: how many times some are chosen.
        window: the share of the training in which units fall silent; in the rest the others settle.

    Attributes:
        kept: group name -> the units that still speak.
    """

    def __init__(
        self,
        network: nn.Layer,
        groups: Sequence[Group],
        final: Mapping[str, int],
        score: Callable[[], Scores],
        updates: int,
        window: float,
    ) -> None:
        self._network = network
        self._groups = groups
        self._final, self._score, self._updates, self._window = final, score, updates, window
        self._done = 0
        self._masks: Masks | None = None
        self.kept = {group.name: np.arange(group.units) for group in groups}

    def after_step(self, step: int, total: int) -> None:
        due = min(self._updates, int(self._updates * step / (self._window * total)))
        if due > self._done:
            self._done = due
            self._choose(due / self._updates)
        if self._masks is not None:
            self._masks.enforce()

    def _choose(self, done: float) -> None:
        scores = self._score()
        masks: dict[str, NDArray[np.bool_]] = {}
        for group in self._groups:
            alive = np.where(self._silent(group), -np.inf, scores[group.name])
            count = still_kept(group.units, self._final[group.name], done)
            self.kept[group.name] = np.sort(np.argsort(-alive, kind="stable")[:count])
            lost = np.setdiff1d(np.arange(group.units), self.kept[group.name])
            for part in group.slices:
                shape = tuple(parameter(self._network, part.parameter).shape)
                mask = masks.setdefault(part.parameter, np.ones(shape, np.bool_))
                np.moveaxis(mask, part.axis, 0)[part.indices[lost].reshape(-1)] = False
        self._masks = Masks(self._network, masks)

    def _silent(self, group: Group) -> NDArray[np.bool_]:
        speaks = np.zeros(group.units, np.bool_)
        for part in group.slices:
            speaks |= by_unit(parameter(self._network, part.parameter).numpy() != 0, part).any(axis=1)
        return ~speaks
