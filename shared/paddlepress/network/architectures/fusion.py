"""Late fusion: a tower for each input, and dense layers over what all of them found."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.network.architectures.layers import Conv2D, feature_size, whole
from paddlepress.network.architectures.text import text_tower

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

_MOST_LAYERS = 16


class ImageTower(nn.Layer):
    """3x3 convolutions, each followed by batch normalization, a rectifier and pooling; then the mean over all places.

    Args:
        channels: of the images.
        widths: filters of each convolution; the last one is how many numbers an image becomes.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = [channels, *widths]
        self.convs = nn.LayerList([Conv2D(*pair, 3, padding=1) for pair in zip(sizes, widths, strict=False)])
        self.norms = nn.LayerList([nn.BatchNorm2D(width) for width in widths])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for conv, norm in zip(self.convs, self.norms):  # noqa: B905 -- Paddle traces no `strict`
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return x.mean([2, 3])


class DenseTower(nn.Layer):
    """A dense layer and a rectifier.

    Args:
        features: numbers of an example.
        width: how many they become.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, width)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.dense(x.flatten(1)))


class LateFusion(nn.Layer):
    """Towers whose outputs are joined and go through dense layers (Baltrusaitis, Ahuja and Morency, "Multimodal Machine
    Learning: A Survey and Taxonomy", TPAMI 2019, section 6: fusion of what each modality has become).

    Args:
        towers: one for each input, in their order.
        joined: how many numbers they give together.
        hidden: units of the dense layer that sees them all.
        outputs: of the network.
    """

    def __init__(self, towers: Sequence[nn.Layer], joined: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.towers = nn.LayerList(towers)
        self.fuse = nn.Linear(joined, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, *inputs: paddle.Tensor) -> paddle.Tensor:
        found = [tower(x) for tower, x in zip(self.towers, inputs)]  # noqa: B905 -- Paddle traces no `strict`
        return self.head(F.relu(self.fuse(paddle.concat(found, axis=1))))


def late_fusion(
    inputs: tuple[TensorSpec, ...],
    task: Task,
    filters: Sequence[int] = (16, 32, 64),
    features: int = 32,
    embedding: int = 64,
    hidden: int = 64,
) -> LateFusion:
    """A network of any inputs: convolutions for each image and each text, a dense layer for other numbers.

    Args:
        inputs: one or more; those of shape [channels, height, width] are images, those of a vocabulary texts.
        task: as many outputs as it has.
        filters: of an image's convolutions, each at half the resolution of the one before.
        features: how many numbers an input of other numbers becomes, and a text for each width of its filters.
        embedding: numbers of each token of a text.
        hidden: units of the dense layer that sees what all inputs have become.
    """
    if not isinstance(filters, list | tuple) or not 1 <= len(filters) <= _MOST_LAYERS:
        raise ValueError(f"filters is {filters!r}; it must be a list of 1 to {_MOST_LAYERS} numbers")
    widths = [whole("filters", width, 1, 4096) for width in filters]
    dense, units = whole("features", features, 1, 65_536), whole("hidden", hidden, 1, 65_536)
    towers: list[nn.Layer] = []
    tower: nn.Layer
    joined = 0
    for spec in inputs:
        if spec.vocabulary is not None:
            tower, width = text_tower(spec, embedding, dense, (3, 4, 5))
        elif len(spec.shape) == 3:
            feature_size(*spec.shape[1:], 2 ** len(widths))
            tower, width = ImageTower(spec.shape[0], widths), widths[-1]
        else:
            tower, width = DenseTower(prod(spec.shape), dense), dense
        towers.append(tower)
        joined += width
    return LateFusion(towers, joined, units, task.out_features)
