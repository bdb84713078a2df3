"""Multilayer perceptrons: dense layers, for tables and other inputs without a spatial order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import whole

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

_MOST_LAYERS = 64


class Perceptron(nn.Layer):
    """Dense layers with rectifiers in between (Rumelhart, Hinton and Williams, Nature 1986).

    Args:
        sizes: numbers of the input, of the units of each hidden layer, and of the outputs.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.LayerList([nn.Linear(before, after) for before, after in pairwise(sizes)])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def mlp(inputs: tuple[TensorSpec, ...], task: Task, hidden: Sequence[int] = (64, 64)) -> Perceptron:
    """A multilayer perceptron.

    Args:
        inputs: one, of any shape; it is flattened.
        task: as many outputs as it has.
        hidden: units of each hidden layer; none makes a linear model.
    """
    if len(inputs) != 1:
        raise DataError(f"the data have {len(inputs)} inputs; this architecture takes one")
    if not isinstance(hidden, list | tuple) or len(hidden) > _MOST_LAYERS:
        raise ValueError(f"hidden is {hidden!r}; it must be a list of at most {_MOST_LAYERS} numbers")
    units = [whole("hidden", size, 1, 65_536) for size in hidden]
    return Perceptron([math.prod(inputs[0].shape), *units, task.out_features])
