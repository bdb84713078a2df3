"""Attention loses whole heads, however it is written; where it can't, it is left alone."""

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

STATED = "sizes are written in the network's code"


class Encoder(nn.Layer):
    """Paddle's own encoder layers."""

    def __init__(self, width=16, heads=4, depth=2, before=False):
        super().__init__()
        self.embed = nn.Linear(6, width)
        block = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, normalize_before=before)
        self.blocks, self.classify = nn.TransformerEncoder(block, depth), nn.Linear(width, 10)

    def forward(self, x):
        return self.classify(self.blocks(self.embed(x)).mean(1))


def test_encoder(build: Build) -> None:
    """Heads, hidden units and the features that layer norms span are groups, named for what they are."""
    graph = check(build(Encoder, (5, 6)))
    assert {group.name: (group.units, group.kind, group.mixed) for group in graph.groups} == {
        "embed": (16, "neurons", True),
        "blocks.layers.0.self_attn": (4, "heads", False),
        "blocks.layers.0.linear1": (32, "neurons", False),
        "blocks.layers.1.self_attn": (4, "heads", False),
        "blocks.layers.1.linear1": (32, "neurons", False),
    }
    text = describe(graph)
    assert "blocks.layers.0.self_attn: 4 heads\n" in text
    assert "cuts       blocks.layers.0.self_attn.q_proj.weight axis 1, 4 each" in text
    assert "sets       blocks.layers.0.self_attn: num_heads" in text


def test_down_to_one_head(build: Build, tmp_path: Path) -> None:
    """A narrowed encoder keeps its heads' number through saving, loading and another cut, and can be trained."""
    model = narrow_all(build(Encoder, (5, 6)), {"blocks.layers.1.self_attn": np.array([1, 2])})
    model = narrow_all(model, {"blocks.layers.1.self_attn": np.array([1]), "embed": np.arange(3, 16)})
    assert edits.find(model.network, "blocks.layers.1.self_attn").num_heads == 1
    assert edits.find(model.network, "blocks.layers.0.self_attn").num_heads == 4
    store.save(model, tmp_path / "model")
    loaded = store.load(tmp_path / "model")
    assert np.array_equal(loaded.predict(images(model)), model.predict(images(model)))
    assert "blocks.layers.1.self_attn.q_proj" in trace(loaded).fixed
    loaded.network.train()
    loaded.network(paddle.to_tensor(images(model))).square().sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in loaded.network.parameters())


class Written(nn.Layer):
    """Attention in a user's own words, between an embedding and a classifier."""

    heads = 0  # the class's, not the layer's: never set

    def __init__(self, width=12, num_heads=3, style="sliced", norm=True):
        super().__init__()
        self.embed, self.norm = nn.Linear(6, width), nn.LayerNorm(width) if norm else nn.Identity()
        self.num_heads, self.features, self.style = num_heads, width // num_heads, style
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.classify = nn.Linear(width, 10)

    def forward(self, x):
        x = self.embed(x)
        n, t, width = x.shape
        y = self.qkv(self.norm(x))
        if self.style == "sliced":
            y = y.reshape([n, t, 3, self.num_heads, self.features]).transpose([2, 0, 3, 1, 4])
            q, k, v = y[0], y[1], y[2]
        elif self.style == "unbound":
            q, k, v = y.reshape([n, t, 3, -1, self.features]).transpose([2, 0, 3, 1, 4]).unbind(0)
        elif self.style == "chunked":
            q, k, v = (
                part.reshape([n, t, self.num_heads, self.features]).transpose([0, 2, 1, 3])
                for part in y.chunk(3, axis=-1)
            )
        elif self.style == "by head":
            y = y.reshape([n, t, self.num_heads, 3 * self.features]).transpose([0, 2, 1, 3])
            q, k, v = y.chunk(3, axis=-1)
        elif self.style == "batched":
            q, k, v = (
                part.reshape([n, t, self.num_heads, self.features]).transpose([0, 2, 1, 3]).flatten(0, 1)
                for part in y.chunk(3, axis=-1)
            )
        elif self.style == "divided":
            y = y.reshape([n, t, 3, self.num_heads, width // self.num_heads]).transpose([2, 0, 3, 1, 4])
            q, k, v = y[0], y[1], y[2]
        else:
            y = y.reshape([n, t, 3, 3, 4]).transpose([2, 0, 3, 1, 4])
            q, k, v = y[0], y[1], y[2]
        scores = paddle.matmul(q, k, transpose_y=True) * self.features**-0.5
        y = paddle.matmul(F.softmax(scores, axis=-1), v)
        if self.style == "batched":
            y = y.reshape([n, self.num_heads, t, self.features])
        y = y.transpose([0, 2, 1, 3])
        y = y.reshape([n, t, width]) if self.style == "divided" else y.flatten(2)
        return self.classify((x + self.project(y)).mean(1))


@pytest.mark.parametrize("style", ["sliced", "unbound", "chunked", "by head", "batched"])
def test_fused_projections(style: str, build: Build) -> None:
    """One dense layer that makes queries, keys and values loses the same heads of all three."""
    graph = check(build(lambda: Written(style=style), (5, 6)))
    by_name = {group.name: group for group in graph.groups}
    heads = by_name["qkv"]
    assert (heads.units, heads.kind, heads.consumers) == (3, "heads", ("project",))
    assert {part.parameter: part.indices.shape[1] for part in heads.slices} == {
        "qkv.weight": 12,
        "qkv.bias": 12,
        "project.weight": 4,
    }
    assert by_name["embed"].mixed


@pytest.mark.parametrize("norm", [True, False])
def test_sizes_that_depend_on_each_other(norm: bool, build: Build) -> None:
    """A head size computed from the width and the number of heads allows neither to be cut alone."""
    graph = check(build(lambda: Written(style="divided", norm=norm), (5, 6)))
    assert not graph.groups
    assert all(STATED in graph.fixed[layer] for layer in ("embed", "qkv", "project"))


def test_stated_heads(build: Build) -> None:
    """A number of heads that the code states keeps them all, and names the reason."""
    graph = check(build(lambda: Written(style="stated"), (5, 6)))
    assert STATED in graph.fixed["qkv"]
    assert [group.name for group in graph.groups] == ["embed"]


class Twice(nn.Layer):
    """Two attentions that read the number of their heads from one place."""

    def __init__(self):
        super().__init__()
        self.num_heads = 3
        self.embed = nn.Linear(6, 12)
        self.first, self.second = (nn.LayerList([nn.Linear(12, 12) for _ in range(4)]) for _ in range(2))
        self.classify = nn.Linear(12, 10)

    def attend(self, layers, x):
        q, k, v = (layers[i](x).reshape([0, 0, self.num_heads, 4]).transpose([0, 2, 1, 3]) for i in range(3))
        y = paddle.matmul(F.softmax(paddle.matmul(q, k, transpose_y=True)), v)
        return x + layers[3](y.transpose([0, 2, 1, 3]).flatten(2))

    def forward(self, x):
        return self.classify(self.attend(self.second, self.attend(self.first, self.embed(x))).mean(1))


def test_a_number_that_two_attentions_share(build: Build) -> None:
    """Neither loses heads: the other's would not fit any more."""
    graph = check(build(Twice, (5, 6)))
    assert [group.name for group in graph.groups] == ["embed"]
    assert STATED in graph.fixed["first.0"]
    assert STATED in graph.fixed["second.0"]


class Biased(nn.Layer):
    """Rotary positions, a bias per head, a gate per head, a mask, normalized queries, grouped keys."""

    def __init__(self, heads=4, features=6):
        super().__init__()
        self.heads, width = heads, heads * features
        self.query, self.key, self.value = (nn.Linear(7, width) for _ in range(3))
        self.normal = nn.LayerNorm(features)
        self.bias = self.create_parameter([1, heads, 5, 5])
        self.gate = self.create_parameter([heads, 1, 1])
        angle = np.outer(np.arange(5), 10.0 ** -np.arange(features // 2)).repeat(2, 1)
        self.register_buffer("cos", paddle.to_tensor(np.cos(angle).astype(np.float32)))
        self.register_buffer("sin", paddle.to_tensor(np.sin(angle).astype(np.float32)))
        self.register_buffer("mask", paddle.to_tensor(np.triu(np.full((5, 5), -1e4), 1).astype(np.float32)))
        self.project, self.classify = nn.Linear(width, 8), nn.Linear(8, 10)

    def apart(self, x):
        return x.reshape([x.shape[0], 5, self.heads, -1]).transpose([0, 2, 1, 3])

    def turned(self, x):
        first, second = x.chunk(2, axis=-1)
        return x * self.cos + paddle.concat([-second, first], axis=-1) * self.sin

    def forward(self, x):
        q, k = (self.turned(self.normal(self.apart(layer(x)))) for layer in (self.query, self.key))
        scores = paddle.matmul(q, k.transpose([0, 1, 3, 2])) + self.bias + self.mask
        y = paddle.matmul(F.softmax(scores), self.apart(self.value(x))) * F.sigmoid(self.gate)
        return self.classify(F.relu(self.project(y.transpose([0, 2, 1, 3]).flatten(2))).mean(1))


def test_what_attention_is_made_with(build: Build) -> None:
    """Parameters with an entry for each head lose those of the heads that go; the rest of the layer stays."""
    graph = check(build(Biased, (5, 7)))
    heads, hidden = graph.groups
    assert (heads.name, heads.units, heads.kind, heads.mixed) == ("query", 4, "heads", False)
    cut = {(part.parameter, part.axis, part.indices.shape[1]) for part in heads.slices}
    assert cut >= {("bias", 1, 1), ("gate", 0, 1), ("query.weight", 1, 6), ("project.weight", 0, 6)}
    assert not {part.parameter for part in heads.slices} & {"normal.weight", "normal.bias"}
    assert heads.counts == (("", "heads"),)
    assert hidden.name == "project"


class Gram(nn.Layer):
    """A product of two activations over their channels, without heads."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.classify = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(5, 10)

    def forward(self, x):
        return self.classify(paddle.matmul(self.a(x), self.b(x), transpose_y=True).mean(1))


def test_a_product_without_heads(build: Build) -> None:
    """What is summed over goes out of both factors."""
    graph = check(build(Gram, (5, 6)))
    assert [(group.producers, group.units, group.kind) for group in graph.groups] == [(("a", "b"), 8, "neurons")]


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heads=st.integers(2, 5),
    features=st.integers(2, 6),
    depth=st.integers(1, 2),
    before=st.booleans(),
)
def test_any_encoder(heads: int, features: int, depth: int, before: bool, build_shared: Build) -> None:
    """Whatever the number and size of the heads, more heads than features too, they go whole."""
    model = build_shared(lambda: Encoder(heads * features, heads, depth, before), (4, 6))
    graph = check(model)
    found = [group for group in graph.groups if group.kind == "heads"]
    assert [group.units for group in found] == [heads] * depth
    for group in found:
        query = next(part for part in group.slices if part.parameter.endswith("q_proj.weight"))
        assert np.array_equal(query.indices, np.arange(heads * features).reshape(heads, features))
