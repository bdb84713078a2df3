"""Multiply-accumulates, against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from surgical import Build

from paddlepress.core import compute
from paddlepress.network import edits
from paddlepress.network.inserted_layers import LowRankLinear
from paddlepress.surgery.graph import narrow_all
from paddlepress.surgery.macs import macs

compute.prepare()
from paddle import nn  # noqa: E402


def test_lenet(build: Build) -> None:
    """LeNet's layers count output pixels times what each is made of."""
    assert macs(build("lenet", (1, 28, 28))) == {
        "conv1": 28 * 28 * 32 * 9,
        "conv2": 14 * 14 * 64 * 32 * 9,
        "fc1": 3136 * 128,
        "fc2": 128 * 10,
    }


def test_after_surgery(build: Build) -> None:
    """Narrowed and factorized layers count as they are now."""
    model = build("lenet", (1, 28, 28))
    model = narrow_all(model, {"conv1": np.arange(16), "conv2": np.arange(32)})
    layer = edits.find(model.network, "fc1")
    layer.in_features, layer.out_features = 1568, 128
    edits.replace(model.network, "fc1", LowRankLinear.in_place_of(layer, 8))
    assert macs(model) == {
        "conv1": 28 * 28 * 16 * 9,
        "conv2": 14 * 14 * 32 * 16 * 9,
        "fc1.first": 1568 * 8,
        "fc1.second": 8 * 128,
        "fc2": 1280,
    }


class Mixed(nn.Layer):
    def __init__(self):
        super().__init__()
        self.grouped, self.up = nn.Conv2D(4, 6, 3, groups=2), nn.Conv2DTranspose(6, 5, 2, stride=2)
        self.token, self.head = nn.Linear(5, 7), nn.Linear(7, 10)

    def forward(self, x):
        x = self.up(self.grouped(x)).flatten(2).transpose([0, 2, 1])
        return self.head(self.head(self.token(x))[:, :, :7].mean(1))


def test_other_layers(build: Build) -> None:
    """Grouped and transposed convolutions, layers over sequences and layers used twice are counted right."""
    assert macs(build(Mixed, (4, 8, 8))) == {
        "grouped": 6 * 6 * 6 * 2 * 9,
        "up": 6 * 6 * 6 * 5 * 4,
        "token": 144 * 5 * 7,
        "head": 144 * 7 * 10 + 7 * 10,
    }


@pytest.mark.parametrize(("name", "millions"), [("vision/resnet18", 1814.07), ("vision/mobilenet_v2", 300.77)])
def test_published(name: str, millions: float, build: Build) -> None:
    """Well-known networks have the counts that their papers' readers know, at 224x224 and 1,000 classes."""
    found = sum(macs(build(name, (3, 224, 224), 1000)).values()) / 1e6
    assert found == pytest.approx(millions, rel=1e-3)
