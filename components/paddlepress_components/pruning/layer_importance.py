"""How much a network needs each of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paddlepress.forward.score import mean_loss
from paddlepress.network.model import Model
from paddlepress.surgery.layer_removal import without

if TYPE_CHECKING:
    from paddlepress.data import Split


def least_needed(model: Model, names: Sequence[str], data: Split) -> tuple[str, float]:
    """The layer whose bypass leaves the lowest `mean_loss`, the first of several, and that loss."""
    losses = {}
    for name in names:
        with without(model.network, name):
            losses[name] = mean_loss(model.network, model.task, data)
    least = min(losses, key=losses.__getitem__)
    return least, losses[least]
