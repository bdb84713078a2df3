from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from surgical import Build, images

from paddlepress.artifact.store import load, save
from paddlepress.core.errors import ArtifactError, UsageError
from paddlepress.network.edits import Remove
from paddlepress.surgery.layer_removal import holding, removable, remove
from paddlepress.surgery.macs import macs


class Encoder(nn.Layer):
    """Transformer layers, each called with a mask, and a norm after the last."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(8))
        self.out = nn.Linear(8, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = x.flatten(2).transpose([0, 2, 1])
        mask = paddle.ones([1, 1, x.shape[1], x.shape[1]], dtype="bool")
        return self.out(self.encoder(x, mask).mean(1))


class Odd(nn.Layer):
    """A layer that is called twice, one of which another part is used, and one that can go."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.tied, self.free = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.again = self.free
        self.recurrent = nn.GRU(8, 8)
        self.out = nn.Linear(8, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.twice(self.twice(x.flatten(1)))
        x = self.tied(x) @ self.tied.weight
        x, _ = self.recurrent(self.again(x).unsqueeze(1))
        return self.out(x.flatten(1))


def names(model: object, shape: tuple[int, ...] = (3, 8, 8)) -> list[str]:
    found, _ = removable(model, np.zeros((2, *shape), np.float32))  # type: ignore[arg-type]
    return [one.name for one in found]


def test_blocks_of_a_residual_network_can_go(build: Build) -> None:
    """Blocks that keep the shape are found as a whole, and single convolutions in those that do not."""
    model = build("vision/resnet18", (3, 32, 32))
    found, looked = removable(model, images(model, 2))
    assert [one.name for one in found if one.layers > 1] == ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    assert [one.name for one in found if one.layers == 1] == [f"layer{stage}.0.conv2" for stage in (2, 3, 4)]
    assert "fc (512 -> 10)" in looked


def test_layers_of_a_transformer_can_go(build: Build) -> None:
    """Encoder layers are found one by one, though the stack of them keeps the shape too and they get a mask."""
    model = build(Encoder, (8, 4, 4))
    assert names(model, (8, 4, 4)) == [f"encoder.layers.{number}" for number in range(3)]
    x = images(model)
    before = model.predict(x)
    smaller = remove(model, "encoder.layers.1")
    assert names(smaller, (8, 4, 4)) == ["encoder.layers.0", "encoder.layers.2"]
    assert not np.allclose(smaller.predict(x), before)


def test_what_the_network_needs_is_no_candidate(build: Build) -> None:
    """A layer called twice, one whose weight is read elsewhere and one that gives a tuple stay, with the reason."""
    model = build(Odd, (8, 1, 1))
    found, looked = removable(model, images(model, 2))
    assert [one.name for one in found] == ["free"]
    assert {"twice (called 2 times)", "tied (the network does not run without it)", "out (8 -> 10)"} <= set(looked)
    smaller = remove(model, "free")
    assert not any(name.startswith(("free", "again")) for name in smaller.state())


def test_a_removed_block_computes_as_if_it_added_nothing(build: Build) -> None:
    """A block whose branch gives zeros and whose input is positive can go without any change."""
    model = build("resnet-cifar", (3, 8, 8))
    for leaf in ("weight", "bias"):
        tensor = getattr(model.network.stage1[0].norm2, leaf)
        tensor.set_value(np.zeros(tensor.shape, np.float32))
    x = images(model)
    expected = model.predict(x)
    np.testing.assert_allclose(remove(model, "stage1.0").predict(x), expected, atol=1e-6)


def test_weights_and_work_of_a_removed_block_are_gone(build: Build, tmp_path: Path) -> None:
    """The state and the multiply-accumulates lose what the block had, and the artifact reloads to the same bits."""
    model = build("resnet-cifar", (3, 8, 8))
    before, work = model.state(), macs(model)
    smaller = remove(model.copy(), "stage1.0")
    gone = before.keys() - smaller.state().keys()
    assert gone == {name for name in before if name.startswith("stage1.0.")}
    assert macs(smaller) == {name: count for name, count in work.items() if not name.startswith("stage1.0.")}
    save(smaller, tmp_path / "smaller")
    x = images(smaller)
    assert np.array_equal(load(tmp_path / "smaller").predict(x), smaller.predict(x))
    assert smaller.copy().digest() == smaller.digest()


def test_the_search_leaves_the_network_alone(build: Build) -> None:
    """Looking for candidates changes neither weights nor modes nor hooks."""
    model = build("resnet-cifar", (3, 8, 8))
    model.network.train()
    digest = model.digest()
    removable(model, images(model, 2))
    assert model.digest() == digest
    assert all(layer.training and not layer._forward_post_hooks for layer in model.network.sublayers())


def test_a_layer_that_is_not_there_can_not_be_removed(build: Build) -> None:
    """An edit for another architecture is refused with the layer's name."""
    with pytest.raises(ArtifactError, match="no layer 'stage9'"):
        Remove(layer="stage9").replay(build("resnet-cifar").network)


def test_a_pattern_protects_what_holds_the_layer(build: Build) -> None:
    """An excluded convolution keeps its block; a pattern that matches nothing is told with the layers there are."""
    network = build("resnet-cifar").network
    assert holding(network, ["stage2.0.conv*"]) == {"stage2", "stage2.0", "stage2.0.conv1", "stage2.0.conv2"}
    with pytest.raises(UsageError, match=r"'stage7' matches no layer\. Layers: conv, stage1"):
        holding(network, ["stage7"])
