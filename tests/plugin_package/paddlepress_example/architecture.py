"""An architecture of one's own."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from paddle import nn

if TYPE_CHECKING:
    from paddlepress import Task, TensorSpec


def mlp(inputs: tuple[TensorSpec, ...], task: Task, hidden: int = 64) -> nn.Layer:
    """One hidden layer."""
    features = prod(inputs[0].shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, task.out_features))
