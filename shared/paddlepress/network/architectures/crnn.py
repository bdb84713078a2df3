"""A convolutional recurrent network: the characters of a line of text, from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import Conv2D, single_image_input, whole

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

_FILTERS = (1, 2, 4, 4)  # of each convolution, times the width
_MOST_HALVINGS = 3  # of an image's width


class Stage(nn.Layer):
    """A 3x3 convolution, a batch norm, max-pooling and a rectifier.

    Pooling comes before the rectifier: they commute, and the rectifier then has less work.
    """

    def __init__(self, channels: int, filters: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = Conv2D(channels, filters, 3, padding=1, bias_attr=False)
        self.norm = nn.BatchNorm2D(filters)
        self.pool = pool

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.norm(self.conv(x))
        if self.pool != (1, 1):
            x = F.max_pool2d(x, self.pool, self.pool)
        return F.relu(x)


class CRNN(nn.Layer):
    """Convolutions over a line, then LSTM layers in both directions along what is left of its columns.

    Args:
        channels, height: of the image.
        outputs: logits at each step.
        filters: of each convolution.
        pools: by how much rows and columns shrink behind each convolution.
        hidden: units of each LSTM layer and direction.
        layers: LSTM layers, one on the other.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        outputs: int,
        filters: Sequence[int],
        pools: Sequence[tuple[int, int]],
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            *(Stage(*widths, pool) for widths, pool in zip(pairwise([channels, *filters]), pools, strict=True))
        )
        for rows, _ in pools:
            height //= rows
        self.lstm = nn.LSTM(filters[-1] * height, hidden, num_layers=layers, direction="bidirect")
        self.classify = nn.Linear(2 * hidden, outputs)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stages(x).transpose([0, 3, 1, 2]).flatten(2)  # a column a step, with all channels of its rows
        outputs, _ = self.lstm(x)
        return self.classify(outputs)


def crnn(inputs: tuple[TensorSpec, ...], task: Task, width: int = 32, hidden: int = 128, layers: int = 1) -> CRNN:
    """A small network after Shi, Bai and Yao, "An End-to-End Trainable Neural Network for Text Recognition", 2015.

    Four convolutions of 3x3, each with a batch norm; rows are halved behind each of them, and columns until there are
    as many as the task has steps.

    Args:
        inputs: one image of a line, as wide as the task has steps, or 2, 4 or 8 times as wide.
        task: gives logits at each of several steps, such as text-recognition.
        width: filters of the first convolution; the others have 2, 4 and 4 times as many.
        hidden: units of each LSTM layer and direction.
        layers: LSTM layers, one on the other.
    """
    channels, height, breadth = single_image_input(inputs)
    width, hidden, layers = (
        whole("width", width, 1, 4096),
        whole("hidden", hidden, 1, 65_536),
        whole("layers", layers, 1, 64),
    )
    output = task.outputs[0]
    if len(output.shape) != 2:
        raise DataError(f"the task is {task.kind!r}; this architecture is for 'text-recognition'")
    wanted, given = output.shape[0], [breadth // 2**halvings for halvings in range(_MOST_HALVINGS + 1)]
    if wanted not in given:
        raise DataError(
            f"the task has {wanted} steps; for images {breadth} pixels wide this architecture gives "
            f"{', '.join(map(str, given))}"
        )
    pools, rows = [], height
    for number in range(len(_FILTERS)):
        pools.append((2 if rows > 1 else 1, 2 if number < given.index(wanted) else 1))
        rows //= pools[-1][0]
    filters = [width * times for times in _FILTERS]
    return CRNN(channels, height, output.shape[1], filters, pools, hidden, layers)
