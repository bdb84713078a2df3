"""How much a network needs each of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paddlepress.forward.outputs import logits
from paddlepress.surgery.removal import without

if TYPE_CHECKING:
    import paddle

    from paddlepress.data import Split


def mean_loss(network: paddle.nn.Layer, data: Split) -> float:
    """Cross entropy in evaluation mode, in float64; infinite if the outputs are no numbers."""
    found = logits(network, data.inputs).astype(np.float64)
    found -= found.max(axis=1, keepdims=True)
    losses = np.log(np.exp(found).sum(axis=1)) - found[np.arange(len(found)), data.labels]
    mean = float(losses.mean())
    return mean if np.isfinite(mean) else float("inf")


def least_needed(network: paddle.nn.Layer, names: Sequence[str], data: Split) -> tuple[str, float]:
    """The layer whose bypass leaves the lowest `mean_loss`, the first of several, and that loss."""
    losses = {}
    for name in names:
        with without(network, name):
            losses[name] = mean_loss(network, data)
    least = min(losses, key=losses.__getitem__)
    return least, losses[least]
