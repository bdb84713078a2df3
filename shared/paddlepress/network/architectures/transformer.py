"""A vision transformer small enough for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import single_image_input, whole

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task


class VisionTransformer(nn.Layer):
    """Patches as tokens, a class token in front, positions added, pre-norm blocks, one dense layer on the class token.

    Args:
        shape: channels, height and width of an image, both a multiple of `patch`.
        classes: logits.
        patch: pixels of a patch's side.
        width: features of a token, a multiple of `heads`.
        depth: blocks of attention and a perceptron.
        heads: of attention in each block.
        hidden: units of each perceptron.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, patch: int, width: int, depth: int, heads: int, hidden: int
    ) -> None:
        super().__init__()
        channels, height, breadth = shape
        tokens = (height // patch) * (breadth // patch)
        small = nn.initializer.TruncatedNormal(std=0.02)
        self.patches = nn.Conv2D(channels, width, patch, stride=patch)
        self.token = self.create_parameter([1, 1, width], default_initializer=small)
        self.positions = self.create_parameter([1, tokens + 1, width], default_initializer=small)
        block = nn.TransformerEncoderLayer(width, heads, hidden, dropout=0.0, activation="gelu", normalize_before=True)
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width))
        self.classify = nn.Linear(width, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.patches(x).flatten(2).transpose([0, 2, 1])
        token = self.token.expand([x.shape[0], -1, -1])
        x = self.blocks(paddle.concat([token, x], axis=1) + self.positions)
        return self.classify(x[:, 0])


def vit(
    inputs: tuple[TensorSpec, ...],
    task: Task,
    patch: int = 4,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    mlp_ratio: float = 2.0,
) -> VisionTransformer:
    """A vision transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021), pre-norm.

    Args:
        inputs: one image, its sides multiples of `patch`.
        task: as many logits as it has classes.
        patch: pixels of a patch's side.
        width: features of a token.
        depth: blocks of attention and a perceptron.
        heads: of attention in each block; `width` is a multiple of it.
        mlp_ratio: the perceptrons' hidden units, as a multiple of `width`.
    """
    shape = single_image_input(inputs)
    patch, depth = whole("patch", patch, 1, 1024), whole("depth", depth, 1, 256)
    width, heads = whole("width", width, 1, 16_384), whole("heads", heads, 1, 1024)
    if width % heads:
        raise ValueError(f"width is {width}; it must be a multiple of heads, which is {heads}")
    if not 0 < mlp_ratio <= 64 or round(width * mlp_ratio) < 1:
        raise ValueError(f"mlp_ratio is {mlp_ratio}; it must be above 0 and at most 64, and leave a hidden unit")
    if shape[1] % patch or shape[2] % patch:
        raise DataError(f"images of {shape[1]}x{shape[2]} can't be parted into patches of {patch}x{patch}")
    hidden = round(width * mlp_ratio)
    return VisionTransformer(
        shape, task.out_features, patch=patch, width=width, depth=depth, heads=heads, hidden=hidden
    )
