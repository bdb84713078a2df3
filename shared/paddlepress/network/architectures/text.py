"""Convolutional networks over text, whose tokens are looked up in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import whole

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

_MOST_WIDTHS = 8


class TextTower(nn.Layer):
    """Convolutions of several widths over the embeddings of tokens, and the largest value that each filter gives.

    Args:
        vocabulary: how many tokens there are.
        embedding: numbers of each token.
        filters: of each width.
        widths: tokens that a filter sees.
    """

    def __init__(self, vocabulary: int, embedding: int, filters: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.convs = nn.LayerList([nn.Conv1D(embedding, filters, width, padding=width // 2) for width in widths])

    def forward(self, tokens: paddle.Tensor) -> paddle.Tensor:
        x = self.embedding(tokens).transpose([0, 2, 1])
        return paddle.concat([F.relu(conv(x)).max(-1) for conv in self.convs], axis=1)


class TextCNN(nn.Layer):
    """Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014, with embeddings learned here."""

    def __init__(self, tower: TextTower, joined: int, outputs: int) -> None:
        super().__init__()
        self.tower = tower
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(joined, outputs)

    def forward(self, tokens: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.dropout(self.tower(tokens)))


def text_tower(spec: TensorSpec, embedding: int, filters: int, widths: Sequence[int]) -> tuple[TextTower, int]:
    """A tower for an input of tokens, and how many numbers it gives.

    Raises:
        DataError: the input is no text.
        ValueError: an argument that is not valid.
    """
    if spec.vocabulary is None or len(spec.shape) != 1:
        raise DataError(f"the data have an input {spec.name!r} of {spec.dtype} {list(spec.shape)}, which is no text")
    if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= _MOST_WIDTHS:
        raise ValueError(f"widths is {widths!r}; it must be a list of 1 to {_MOST_WIDTHS} numbers")
    sizes = [whole("widths", width, 1, 64) for width in widths]
    each = whole("filters", filters, 1, 4096)
    return TextTower(spec.vocabulary, whole("embedding", embedding, 1, 4096), each, sizes), each * len(sizes)


def text_cnn(
    inputs: tuple[TensorSpec, ...],
    task: Task,
    embedding: int = 64,
    filters: int = 64,
    widths: Sequence[int] = (3, 4, 5),
) -> TextCNN:
    """A convolutional network for text.

    Args:
        inputs: one text.
        task: as many outputs as it has.
        embedding: numbers of each token.
        filters: of each width.
        widths: tokens that a filter sees.
    """
    if len(inputs) != 1:
        raise DataError(f"the data have {len(inputs)} inputs; this architecture takes one text")
    tower, joined = text_tower(inputs[0], embedding, filters, widths)
    return TextCNN(tower, joined, task.out_features)
