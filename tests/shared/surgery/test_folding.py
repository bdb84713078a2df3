from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paddle import nn
from surgical import Build, assert_same_as_silenced, images

from paddlepress.artifact.store import load, save
from paddlepress.core.errors import ArtifactError
from paddlepress.network.architectures.layers import Conv2D
from paddlepress.network.edits import FoldNorm, Mask, Quantize
from paddlepress.network.grids import put_on_grid
from paddlepress.surgery.folding import fold_norms
from paddlepress.surgery.graph import narrow_all, trace


class Every(nn.Layer):
    """Each kind of layer that a batch normalization can follow, with and without bias and groups."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.norm1 = Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8)
        self.depthwise, self.norm2 = nn.Conv2D(8, 16, 3, groups=8, bias_attr=False), nn.BatchNorm2D(16)
        self.grouped, self.norm3 = nn.Conv2D(16, 8, 1, groups=4), nn.BatchNorm2D(8, weight_attr=False)
        self.transposed, self.norm4 = nn.Conv2DTranspose(8, 12, 3, groups=2, bias_attr=False), nn.BatchNorm2D(12)
        self.deep, self.norm5 = nn.Conv3D(12, 8, 1, bias_attr=False), nn.BatchNorm3D(8)
        self.line, self.norm6 = nn.Conv1D(8, 8, 3, bias_attr=False), nn.BatchNorm1D(8)
        self.line_back, self.norm7 = nn.Conv1DTranspose(8, 6, 3), nn.BatchNorm1D(6)
        self.dense, self.norm8 = nn.Linear(6, 10, bias_attr=False), nn.BatchNorm1D(10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.norm1(self.fast(x)))
        x = self.norm4(self.transposed(self.norm3(self.grouped(self.norm2(self.depthwise(x))))))
        x = self.norm5(self.deep(x.unsqueeze(2))).squeeze(2)
        x = self.norm7(self.line_back(self.norm6(self.line(x.flatten(2)))))
        return self.norm8(self.dense(x.mean(2)))


class Alone(nn.Layer):
    """Batch normalizations that can't be folded, each for another reason."""

    def __init__(self) -> None:
        super().__init__()
        self.read_twice, self.norm1 = nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4)
        self.called_twice, self.norm2 = nn.Conv2D(4, 4, 1), nn.BatchNorm2D(4)
        self.pooled, self.norm3 = nn.Conv2D(4, 4, 1), nn.BatchNorm2D(4)
        self.batch, self.norm4 = nn.Conv2D(4, 4, 1), nn.BatchNorm2D(4, use_global_stats=False)
        self.active, self.norm5 = nn.Conv2D(4, 4, 1), nn.BatchNorm(4, act="relu")
        self.last = nn.BatchNorm2D(4)
        self.dense, self.norm6 = nn.Linear(4, 8), nn.BatchNorm1D(2)
        self.out = nn.Linear(8, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.read_twice(x)
        x = self.norm1(y) + y
        x = self.called_twice(self.norm2(self.called_twice(x)))
        x = self.norm3(nn.functional.avg_pool2d(self.pooled(x), 2))
        x = self.norm5(self.active(self.norm4(self.batch(x))))
        x = self.last(x).mean(3).transpose([0, 2, 1])
        return self.out(self.norm6(self.dense(x)).mean(1))


def test_folding_changes_no_output(build: Build, tmp_path: Path) -> None:
    """Every convolution and dense layer takes its norm in; outputs agree, before and after saving."""
    model = build(Every, shape=(3, 6, 6))
    expected = model.predict(images(model))
    folded = fold_norms(model.copy())
    assert [edit.norm for edit in folded.edits if isinstance(edit, FoldNorm)] == [f"norm{n}" for n in range(1, 9)]
    assert not any("norm" in name for name in folded.state())
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(folded.predict(images(model)), expected, rtol=1e-5, atol=1e-5)
    save(folded, tmp_path / "folded")
    assert np.array_equal(load(tmp_path / "folded").predict(images(model)), folded.predict(images(model)))


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_folding_is_exact(build_shared: Build, data: st.DataObject) -> None:
    """Any convolution with any statistics, negative factors too, computes with its norm folded what both did."""
    groups = data.draw(st.sampled_from([1, 2, 4]))
    kind: Callable[..., Any] = data.draw(st.sampled_from([nn.Conv2D, Conv2D, nn.Conv2DTranspose]))
    bias, kernel = data.draw(st.sampled_from([None, False])), data.draw(st.integers(1, 3))
    outputs = groups * data.draw(st.integers(1, 4))

    def network() -> nn.Layer:
        convolution = kind(4, outputs, kernel, groups=groups, bias_attr=bias)
        return nn.Sequential(convolution, nn.BatchNorm2D(outputs), nn.Flatten())

    model = build_shared(network, shape=(4, 5, 5))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    norm = model.network[1]
    norm.weight.set_value(random.normal(0, 2, outputs).astype(np.float32))
    norm._variance.set_value(random.uniform(1e-3, 4, outputs).astype(np.float32))
    expected = model.predict(images(model))
    folded = fold_norms(model)
    assert len(folded.edits) == 1
    scale = float(np.abs(expected).max()) + 1
    np.testing.assert_allclose(folded.predict(images(model)), expected, atol=1e-5 * scale)


def test_what_cannot_be_folded_is_left_alone(build: Build) -> None:
    """Norms of something else, of shared results, of batch statistics or with an activation stay as they are."""
    model = build(Alone, shape=(3, 4, 4))
    before = model.digest()
    assert fold_norms(model).digest() == before


def test_folds_into_the_layers_asked_for_only(build: Build) -> None:
    """Other layers, and weights that are on a grid, keep their norms."""
    model = build(Every, shape=(3, 6, 6))
    assert [edit.layer for edit in fold_norms(model.copy(), {"dense", "line"}).edits] == ["line", "dense"]
    edit = Quantize(layer="line", bits=4)
    put_on_grid(model, edit)
    folded = fold_norms(model.with_edits(edit))
    assert "line" not in {edit.layer for edit in folded.edits if isinstance(edit, FoldNorm)}
    assert folded.codes("line.weight").codes.any()


def test_pruned_weights_stay_zero(build: Build) -> None:
    """A masked weight is +0.0 after folding with a negative factor."""
    model = build(Every, shape=(3, 6, 6))
    weight = model.network.fast.weight.numpy()
    weight[:, 0] = 0
    model.network.fast.weight.set_value(weight)
    model.network.norm1.weight.set_value(-np.ones(8, np.float32))
    folded = fold_norms(model.with_edits(Mask(parameters=("fast.weight",))))
    kept = folded.network.fast.weight.numpy()[:, 0]
    assert not kept.any()
    assert not np.signbit(kept).any()


def test_resnet_folds_whole(build: Build) -> None:
    """All of ResNet-18's twenty norms fold, and it computes the same."""
    model = build("vision/resnet18", shape=(3, 32, 32))
    expected = model.predict(images(model))
    folded = fold_norms(model)
    assert len(folded.edits) == 20
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(folded.predict(images(model)), expected, atol=1e-5 * scale)


def test_an_edit_that_fits_nothing_is_refused(build: Build) -> None:
    """Replaying the fold of a layer that is no norm, or into one without a weight, is an error."""
    network = build(Every, shape=(3, 6, 6)).network
    for layer, norm in (("fast", "dense"), ("norm1", "norm2"), ("fast", "nowhere")):
        with pytest.raises(ArtifactError, match=norm):
            FoldNorm(layer=layer, norm=norm).replay(network)


def test_a_folded_network_can_be_narrowed(build: Build, tmp_path: Path) -> None:
    """Filters whose norm was folded can be cut, the new biases with them, and the result reloads."""
    model = fold_norms(build("vision/resnet18", shape=(3, 32, 32)))
    groups = {group.name: group for group in trace(model).groups}
    keep = {name: np.arange(0, group.units, 2) for name, group in groups.items()}
    narrowed = narrow_all(model.copy(), keep)
    assert_same_as_silenced(model, groups, keep, narrowed)
    save(narrowed, tmp_path / "narrowed")
    assert np.array_equal(load(tmp_path / "narrowed").predict(images(model)), narrowed.predict(images(model)))
