"""A U-Net: what an image shows, pixel by pixel."""

from __future__ import annotations

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


class Pair(nn.Layer):
    """Two 3x3 convolutions, each with a batch norm and a rectifier."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv1 = Conv2D(channels, filters, 3, padding=1, bias_attr=False)
        self.norm1 = nn.BatchNorm2D(filters)
        self.conv2 = Conv2D(filters, filters, 3, padding=1, bias_attr=False)
        self.norm2 = nn.BatchNorm2D(filters)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UNet(nn.Layer):
    """Pairs of convolutions on the way down, and on the way up, where each sees its counterpart's features too.

    Args:
        channels: of the image.
        size: its height and width.
        outputs: channels of what is given, at the image's size.
        width: filters at full size; each level below has twice as many.
        depth: how often the image is halved.
    """

    def __init__(self, channels: int, size: tuple[int, int], outputs: int, width: int, depth: int) -> None:
        super().__init__()
        filters = [width * 2**level for level in range(depth + 1)]
        self.down = nn.LayerList([Pair(*widths) for widths in pairwise([channels, *filters])])
        self.up = nn.LayerList([Pair(filters[level] + filters[level + 1], filters[level]) for level in range(depth)])
        self.head = Conv2D(width, outputs, 1)
        self.sizes = [(size[0] // 2**level, size[1] // 2**level) for level in range(depth)]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        seen = []
        for pair in self.down[:-1]:
            x = pair(x)
            seen.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for level in range(len(self.up) - 1, -1, -1):
            x = F.interpolate(x, size=self.sizes[level], mode="nearest")
            x = self.up[level](paddle.concat([seen[level], x], axis=1))
        return self.head(x)


def unet(inputs: tuple[TensorSpec, ...], task: Task, width: int = 16, depth: int = 2) -> UNet:
    """The network of Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, with padding and batch norms.

    Args:
        inputs: one image, whose sides can be halved `depth` times.
        task: gives a map of as many channels as it has classes, of the image's size.
        width: filters at full size.
        depth: how often the image is halved.
    """
    channels, height, breadth = single_image_input(inputs)
    width, depth = whole("width", width, 1, 4096), whole("depth", depth, 1, 8)
    if height % 2**depth or breadth % 2**depth:
        raise DataError(f"images of {height}x{breadth} can't be halved {depth} times, which this architecture does")
    return UNet(channels, (height, breadth), task.out_features, width, depth)
