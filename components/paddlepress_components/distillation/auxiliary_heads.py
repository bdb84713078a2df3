"""Classifiers on features inside a network, which teach it and are taken off afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import TechniqueRefused
from paddlepress.tasks import Task
from paddlepress.training.batch import Batch
from paddlepress.training.feature_losses import hint_loss
from paddlepress.training.features import Capture, Feature, embedding, named, stages

MOST = 3
"""How many heads are put on by themselves, as in the paper."""


def head_layers(network: nn.Layer, found: list[Feature], wanted: Sequence[str]) -> list[Feature]:
    """The features that get a head.

    Args:
        network: whose features they are.
        found: all of its features, in the order in which they are computed.
        wanted: layers by name; empty: the last feature map of each size, but for the last of these where there
            are more than three, and the last three of what is left. A network without feature maps gets heads
            at a quarter, half and three quarters of its blocks (the members of its lists of layers), or of all
            its layers if it has no blocks.

    Raises:
        UnknownName: a layer that there is not.
        TechniqueRefused: the network has no layer between its inputs and its last feature.
    """
    if wanted:
        return [named(found, layer, "layers") for layer in wanted]
    maps = list(stages(found).values())
    if maps:
        return (maps[:-1] if len(maps) > MOST else maps)[-MOST:]
    inner = [feature for feature in found[:-1] if len(feature.shape) <= 2]
    blocks = [feature for feature in inner if _is_block(network, feature.layer)]
    chosen = _evenly(blocks or inner)
    if not chosen:
        raise TechniqueRefused("method 'auxiliary-heads': the network has no hidden layers to put heads on")
    return chosen


def _is_block(network: nn.Layer, name: str) -> bool:
    owner, _, leaf = name.rpartition(".")
    return leaf.isdigit() and isinstance(dict(network.named_sublayers()).get(owner), nn.LayerList | nn.Sequential)


def _evenly(found: list[Feature]) -> list[Feature]:
    places = sorted({len(found) * quarter // 4 for quarter in range(1, MOST + 1)}) if found else []
    return [found[place] for place in places if place < len(found)]


class Head(nn.Layer):
    """A classifier on one feature, with an embedding as large as the network's last feature.

    Feature maps go through a 3x3 convolution that halves them and a batch normalization, as the paper's
    bottlenecks do, and are pooled to 2x2; sequences are averaged over their steps.
    """

    def __init__(self, feature: Feature, size: int, classes: int) -> None:
        super().__init__()
        self.is_image = len(feature.shape) == 3
        features = feature.channels
        if self.is_image:
            self.conv = nn.Conv2D(features, 2 * features, 3, stride=2, padding=1, bias_attr=False)
            self.norm = nn.BatchNorm2D(2 * features)
            features *= 8  # twice the channels, 2x2 places
        self.embed = nn.Linear(features, size)
        self.classify = nn.Linear(size, classes)

    def forward(self, feature: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        if self.is_image:
            feature = F.adaptive_avg_pool2d(F.relu(self.norm(self.conv(feature))), 2)
        elif len(feature.shape) == 3:
            feature = feature.mean(axis=1)
        embedded = self.embed(feature.flatten(1))
        return self.classify(F.relu(embedded)), embedded


class Heads(nn.Layer):
    """Heads on some features of a network; its forward pass gives each one's logits and embedding."""

    def __init__(self, features: Sequence[Feature], size: int, classes: int) -> None:
        super().__init__()
        self.layers = tuple(feature.layer for feature in features)
        self.heads = nn.LayerList([Head(feature, size, classes) for feature in features])

    def forward(self, outputs: dict[str, Any]) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
        return [head(outputs[layer]) for head, layer in zip(self.heads, self.layers, strict=True)]


@dataclass(frozen=True)
class HeadsLoss:
    """A `Loss`: the network and its heads learn from the labels, the heads from the network's outputs too.

    Zhang et al., "Be Your Own Teacher", ICCV 2019: cross entropy of the network's outputs, and for each head
    `(1 - alpha)` of its cross entropy, `alpha` of the soft loss against the network's outputs, and `hint_weight`
    of `hint_loss` between its embedding and the network's last feature. The network does not make itself an
    easier teacher: to the heads its outputs and its last feature are given.

    Attributes:
        task: what the network is for.
        heads: learn along.
        captured: the network's features: the heads', and the last.
        last: the layer that gives the last feature.
        temperature, alpha, hint_weight: see above.
    """

    task: Task
    heads: Heads
    captured: Capture
    last: str
    temperature: float
    alpha: float
    hint_weight: float

    def __call__(self, outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        teacher = outputs.detach()
        last = self.captured.outputs[self.last].detach().flatten(1)
        parts = [self.task.loss(outputs, targets)]
        for said, embedded in self.heads(self.captured.outputs):
            parts.append((1 - self.alpha) * self.task.loss(said, targets))
            parts.append(self.alpha * self.task.divergence(said, teacher, self.temperature))
            parts.append(self.hint_weight * hint_loss(embedded, last))
        return paddle.add_n(parts)


def put_on(network: nn.Layer, found: list[Feature], classes: int, wanted: Sequence[str]) -> tuple[Heads, str]:
    """Heads for a network, and the layer of its last feature.

    Raises:
        UnknownName, TechniqueRefused: see `head_layers`.
    """
    last = embedding(found)
    if last is None:
        raise TechniqueRefused("method 'auxiliary-heads': the network has no hidden layers to put heads on")
    return Heads(head_layers(network, found, wanted), math.prod(last.shape), classes), last.layer
