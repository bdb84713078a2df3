"""The small convolutional and dense networks that pruning and distillation papers measure on MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import Conv2D, feature_size, single_image_input

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task


class LeNet(nn.Layer):
    """Two 3x3 convolutions and two dense layers: 1->32, pool, 32->64, pool, 3136->128, 128->10 on 28x28.

    Pooling comes before the rectifier: they commute, and the rectifier then has a quarter of the work.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: float = 1.0) -> None:
        super().__init__()
        channels, height, breadth = shape
        first, second, hidden = (max(1, round(size * width)) for size in (32, 64, 128))
        self.conv1 = Conv2D(channels, first, 3, padding=1)
        self.conv2 = Conv2D(first, second, 3, padding=1)
        self.fc1 = nn.Linear(second * feature_size(height, breadth, 4), hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class LeNet5Caffe(nn.Layer):
    """Caffe's LeNet-5: conv 5x5 20, pool, conv 5x5 50, pool, dense 500, dense; no padding."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        after = [((side - 4) // 2 - 4) // 2 for side in (height, breadth)]
        if min(after) < 1:
            raise DataError(f"images of {height}x{breadth} are too small; this architecture needs at least 16x16")
        self.conv1 = Conv2D(channels, 20, 5)
        self.conv2 = Conv2D(20, 50, 5)
        self.fc1 = nn.Linear(50 * after[0] * after[1], 500)
        self.fc2 = nn.Linear(500, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class LeNet300100(nn.Layer):
    """Three dense layers of 300, 100 and as many units as there are classes (LeCun et al., 1998)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def lenet(inputs: tuple[TensorSpec, ...], task: Task, width: float = 1.0) -> LeNet:
    """LeNet with 32 and 64 filters and 128 hidden units, each times `width`.

    Args:
        inputs: one image.
        task: as many logits as it has classes.
        width: what the filters and units are multiplied by, above 0 and at most 16.
    """
    if not 0 < width <= 16:
        raise ValueError(f"width is {width}; it must be above 0 and at most 16")
    return LeNet(single_image_input(inputs), task.out_features, width)


def lenet_half(inputs: tuple[TensorSpec, ...], task: Task) -> LeNet:
    """LeNet at half the width: a student for the full one."""
    return LeNet(single_image_input(inputs), task.out_features, 0.5)


def lenet5_caffe(inputs: tuple[TensorSpec, ...], task: Task) -> LeNet5Caffe:
    """Caffe's LeNet-5."""
    return LeNet5Caffe(single_image_input(inputs), task.out_features)


def lenet_300_100(inputs: tuple[TensorSpec, ...], task: Task) -> LeNet300100:
    """LeNet-300-100, dense layers only."""
    channels, height, breadth = single_image_input(inputs)
    return LeNet300100(channels * height * breadth, task.out_features)
