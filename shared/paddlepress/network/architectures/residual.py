"""The residual network that papers measure on CIFAR's small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.network.architectures.layers import Conv2D, feature_size, single_image_input

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

_STAGES = 3


class Block(nn.Layer):
    """Two 3x3 convolutions, each with a batch norm, added to what they were given.

    Where the shape changes, the shortcut is a strided 1x1 convolution with a batch norm (option B of the
    paper); elsewhere it is the input itself.
    """

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2D(channels, filters, 3, stride=stride, padding=1, bias_attr=False)
        self.norm1 = nn.BatchNorm2D(filters)
        self.conv2 = Conv2D(filters, filters, 3, padding=1, bias_attr=False)
        self.norm2 = nn.BatchNorm2D(filters)
        self.shortcut = None
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(
                Conv2D(channels, filters, 1, stride=stride, bias_attr=False), nn.BatchNorm2D(filters)
            )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class CifarResNet(nn.Layer):
    """A 3x3 convolution, three stages of blocks at 1, 2 and 4 times the width, mean over pixels, one dense layer.

    Each stage but the first halves the image.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, blocks: int, width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        feature_size(height, breadth, 2 ** (_STAGES - 1))
        self.conv = Conv2D(channels, width, 3, padding=1, bias_attr=False)
        self.norm = nn.BatchNorm2D(width)
        filters = [width * 2**stage for stage in range(_STAGES)]
        self.stage1 = _stage(width, filters[0], blocks, 1)
        self.stage2 = _stage(filters[0], filters[1], blocks, 2)
        self.stage3 = _stage(filters[1], filters[2], blocks, 2)
        self.fc = nn.Linear(filters[2], classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _stage(channels: int, filters: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(channels, filters, stride)
    return nn.Sequential(first, *(Block(filters, filters, 1) for _ in range(blocks - 1)))


def resnet_cifar(inputs: tuple[TensorSpec, ...], task: Task, depth: int = 8, width: int = 16) -> CifarResNet:
    """The residual network for small images of He et al., "Deep Residual Learning", CVPR 2016, section 4.2.

    Args:
        inputs: one image.
        task: as many logits as it has classes.
        depth: layers with weights along the longest path: 6n + 2 for n blocks a stage, such as 8, 14, 20, 56.
        width: filters of the first stage.
    """
    if depth < 8 or depth > 1202 or depth % 6 != 2:
        raise ValueError(f"depth is {depth}; it must be 6n + 2, from 8 to 1202, such as 8, 14 or 20")
    if not 1 <= width <= 1024:
        raise ValueError(f"width is {width}; it must be from 1 to 1024")
    return CifarResNet(single_image_input(inputs), task.out_features, (depth - 2) // 6, width)
