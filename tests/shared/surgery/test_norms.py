"""Cuts through normalizations that take their statistics over the units that are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surgical import Build, check, images

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.network import edits
from paddlepress.surgery.graph import describe, narrow_all, trace

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402


class Layered(nn.Layer):
    """A layer norm over the units of a dense layer, and one over channels and pixels."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2D(3, 6, 1), nn.LayerNorm([6, 8, 8])
        self.dense, self.last, self.classify = nn.Linear(6, 12), nn.LayerNorm(12), nn.Linear(12, 10)

    def forward(self, x):
        x = self.norm(self.conv(x)).mean([2, 3])
        return self.classify(self.last(self.dense(x)))


def test_layer_norm(build: Build, tmp_path: Path) -> None:
    """What is left of a layer norm takes its statistics over what is left, saved and loaded too."""
    graph = check(build(Layered))
    assert {group.name: (group.units, group.mixed) for group in graph.groups} == {
        "conv": (6, True),
        "dense": (12, True),
    }
    assert "dense: 12 neurons, a normalization spans them" in describe(graph)

    model = build(Layered)
    x = images(model)
    hidden = model.network.dense(model.network.norm(model.network.conv(paddle.to_tensor(x))).mean([2, 3])).numpy()
    keep = np.array([0, 3, 4, 9, 11])
    scale, shift, weight = (
        np.asarray(parameter.numpy())
        for parameter in (model.network.last.weight, model.network.last.bias, model.network.classify.weight)
    )
    left = hidden[:, keep]
    normal = (left - left.mean(1, keepdims=True)) / np.sqrt(left.var(1, keepdims=True) + 1e-5)
    expected = (normal * scale[keep] + shift[keep]) @ weight[keep] + model.network.classify.bias.numpy()
    narrowed = narrow_all(model, {"dense": keep, "conv": np.arange(6)})
    np.testing.assert_allclose(narrowed.predict(x), expected, atol=1e-5)
    narrowed = narrow_all(narrowed, {"conv": np.arange(4)})
    assert narrowed.network.norm._normalized_shape == [4, 8, 8]
    store.save(narrowed, tmp_path / "model")
    assert np.array_equal(store.load(tmp_path / "model").predict(x), narrowed.predict(x))


class Beside(nn.Layer):
    """Norms over what is no unit: pixels, and units of which all but the first axis are normalized."""

    def __init__(self):
        super().__init__()
        self.conv, self.pixels = nn.Conv2D(3, 6, 1), nn.LayerNorm([8, 8], bias_attr=False)
        self.other, self.last = nn.Conv2D(6, 5, 1), nn.LayerNorm([64, 5])
        self.classify = nn.Linear(5, 10)

    def forward(self, x):
        x = F.relu(self.pixels(self.conv(x)))
        x = self.other(x).flatten(2).transpose([0, 2, 1])
        return self.classify(self.last(x).mean(1))


def test_layer_norm_beside_the_units(build: Build) -> None:
    """Units that a norm does not mix are free of it; those that it mixes along a later axis stay."""
    graph = check(build(Beside))
    assert {group.name: group.mixed for group in graph.groups} == {"conv": False}
    assert "several axes, of which it is not the first" in graph.fixed["other"]


class Grouped(nn.Layer):
    def __init__(self, channels, groups):
        super().__init__()
        self.conv, self.norm = nn.Conv2D(3, channels, 1), nn.GroupNorm(groups, channels)
        self.classify = nn.Linear(channels, 10)

    def forward(self, x):
        return self.classify(F.relu(self.norm(self.conv(x))).mean([2, 3]))


@pytest.mark.parametrize(
    ("channels", "groups", "units", "mixed", "left"),
    [(12, 2, 6, True, (8, 2)), (12, 6, 6, False, (8, 4)), (6, 6, 6, False, (4, 4)), (6, 1, 6, True, (4, 1))],
)
def test_group_norm(channels: int, groups: int, units: int, mixed: bool, left: tuple[int, int], build: Build) -> None:
    """Few groups lose the same places each, many groups go whole; what is left is normalized as before."""
    model = build(lambda: Grouped(channels, groups))
    graph = check(model)
    assert [(group.units, group.mixed) for group in graph.groups] == [(units, mixed)]

    model = build(lambda: Grouped(channels, groups))
    network, x = model.network, images(model)
    keep = np.array([0, 1, 3, 5])
    kept = paddle.to_tensor(graph.groups[0].slices[0].indices[keep].reshape(-1))
    kept = paddle.sort(kept)
    y = network.conv(paddle.to_tensor(x)).index_select(kept, 1)
    y = F.group_norm(y, left[1], 1e-5, network.norm.weight[kept], network.norm.bias[kept])
    expected = (F.relu(y).mean([2, 3]) @ network.classify.weight[kept] + network.classify.bias).numpy()
    narrowed = narrow_all(model, {"conv": keep})
    np.testing.assert_allclose(narrowed.predict(x), expected, atol=1e-5)
    norm = edits.find(narrowed.network, "norm")
    assert (norm._num_channels, norm._num_groups) == left
    assert trace(narrowed).groups[0].units == 4


class Stack(nn.Layer):
    """Residual blocks with norms of every kind."""

    def __init__(self, width, kinds):
        super().__init__()
        self.stem = nn.Conv2D(3, width, 1)
        for number, kind in enumerate(kinds):
            norm = {
                "layer": lambda: nn.LayerNorm([width, 4, 4]),
                "group": lambda: nn.GroupNorm(2, width),
                "many": lambda: nn.GroupNorm(width // 2, width),
                "batch": lambda: nn.BatchNorm2D(width),
                "instance": lambda: nn.InstanceNorm2D(width),
            }[kind]()
            self.add_sublayer(f"norm{number}", norm)
            self.add_sublayer(f"wide{number}", nn.Conv2D(width, 2 * width, 1))
            self.add_sublayer(f"back{number}", nn.Conv2D(2 * width, width, 1))
        self.depth = len(kinds)
        self.classify = nn.Linear(width, 5)

    def forward(self, x):
        x = self.stem(x)
        for number in range(self.depth):
            y = self._sub_layers[f"norm{number}"](x)
            x = x + self._sub_layers[f"back{number}"](F.gelu(self._sub_layers[f"wide{number}"](y)))
        return self.classify(x.mean([2, 3]))


KINDS = st.sampled_from(["layer", "group", "many", "batch", "instance"])


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.sampled_from([4, 8, 12]), kinds=st.lists(KINDS, min_size=1, max_size=3))
def test_any_norms(width: int, kinds: list[str], build_shared: Build) -> None:
    """Whatever norms a residual stream goes through, its cuts are right, and the hidden units always go."""
    graph = check(build_shared(lambda: Stack(width, kinds), (3, 4, 4), 5))
    assert {f"wide{number}" for number in range(len(kinds))} <= {group.name for group in graph.groups}
