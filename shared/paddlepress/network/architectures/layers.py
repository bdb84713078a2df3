"""What the built-in architectures are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import DataError

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec


class Conv2D(nn.Conv2D):
    """A convolution whose bias is added as [C, 1, 1].

    On a CPU Paddle adds a convolution's own bias as [1, C, 1, 1], through a broadcast that costs more
    than the convolution; this gives the same numbers at a tenth of the time.
    """

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.conv2d(x, self.weight, None, self._stride, self._padding, self._dilation, self._groups)
        if self.bias is None:
            return y
        return paddle.add(y, self.bias.reshape([-1, 1, 1]))


def single_image_input(inputs: tuple[TensorSpec, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a network's only input.

    Raises:
        DataError: there are several inputs, or it is no image.
    """
    shapes = [spec.shape for spec in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise DataError(
            f"the data have inputs of shape {shapes}; this architecture takes one image [channels, height, width]"
        )
    channels, height, width = shapes[0]
    return channels, height, width


def feature_size(height: int, width: int, reduction: int) -> int:
    """Pixels left of an image after it was pooled by `reduction`.

    Raises:
        DataError: nothing is left.
    """
    size = (height // reduction) * (width // reduction)
    if size < 1:
        raise DataError(
            f"images of {height}x{width} are too small; this architecture needs at least {reduction}x{reduction}"
        )
    return size


def whole(name: str, value: float, low: int, high: int) -> int:
    """An argument that has to be a whole number; JSON may have made a float of it.

    Raises:
        ValueError: it is not, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")
    return int(value)
