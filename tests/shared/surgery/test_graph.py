"""What the dependency graph finds in networks of every kind of connection, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surgical import Build, check, images

from paddlepress.core import compute
from paddlepress.core.errors import TechniqueRefused
from paddlepress.network import edits
from paddlepress.surgery.graph import describe, trace

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402


def test_lenet(build: Build) -> None:
    """A channel of LeNet's last convolution is 49 rows of the dense layer that reads it flattened."""
    graph = trace(build("lenet", (1, 28, 28)))
    assert [(group.name, group.units, group.kind) for group in graph.groups] == [
        ("conv1", 32, "filters"),
        ("conv2", 64, "filters"),
        ("fc1", 128, "neurons"),
    ]
    conv2 = graph.groups[1]
    assert (conv2.producers, conv2.consumers) == (("conv2",), ("fc1",))
    columns = next(part for part in conv2.slices if part.parameter == "fc1.weight")
    assert columns.axis == 0
    assert np.array_equal(columns.indices, np.arange(3136).reshape(64, 49))
    assert graph.fixed == {"fc2": "feeds the network's output"}


def test_describe(build: Build) -> None:
    """The text form names every group with its members, and every fixed layer with its reason."""
    text = describe(trace(build("lenet", (1, 28, 28))))
    assert "conv2: 64 filters" in text
    assert "read by    fc1" in text
    assert "fc1.weight axis 0, 49 each" in text
    assert "fc2: feeds the network's output" in text


class Residual(nn.Layer):
    """Two stages with a shortcut each, one of them through a convolution of its own."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2D(3, 8, 3, padding=1, bias_attr=False), nn.BatchNorm2D(8)
        self.a, self.b = nn.Conv2D(8, 6, 3, padding=1), nn.Conv2D(6, 8, 3, padding=1)
        self.c, self.shortcut = nn.Conv2D(8, 12, 1), nn.Conv2D(8, 12, 1)
        self.classify = nn.Linear(12, 10)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = x + self.b(F.relu(self.a(x)))
        x = F.relu(self.c(x) + self.shortcut(x))
        return F.softmax(self.classify(F.adaptive_avg_pool2d(x, 1).squeeze([2, 3])))


def test_residual(build: Build) -> None:
    """Layers whose outputs are added lose the same units."""
    graph = check(build(Residual))
    assert [group.producers for group in graph.groups] == [("stem", "b"), ("a",), ("c", "shortcut")]
    cut = {(part.parameter, part.axis) for part in graph.groups[0].slices}
    norm = {(f"bn.{name}", 0) for name in ("weight", "bias", "_mean", "_variance")}
    assert cut == norm | {("stem.weight", 0), ("b.weight", 0), ("b.bias", 0), *_inputs("a", "c", "shortcut")}


def _inputs(*layers: str) -> set[tuple[str, int]]:
    return {(f"{layer}.weight", 1) for layer in layers}


class Grouped(nn.Layer):
    """A grouped convolution between two plain ones, and squeeze-and-excitation."""

    def __init__(self):
        super().__init__()
        self.a, self.grouped = nn.Conv2D(3, 12, 1), nn.Conv2D(12, 16, 3, groups=4)
        self.b = nn.Conv2D(16, 8, 1)
        self.down, self.up = nn.Conv2D(8, 4, 1), nn.Conv2D(4, 8, 1)
        self.classify = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.b(F.relu(self.grouped(F.relu(self.a(x))))))
        gate = F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return self.classify((x * gate).mean([2, 3]))


def test_grouped_and_gated(build: Build) -> None:
    """Every group of a grouped convolution loses the same places; a gate loses what it gates."""
    graph = check(build(Grouped))
    assert {group.name: group.units for group in graph.groups} == {"a": 3, "grouped": 4, "b": 8, "down": 4}
    by_name = {group.name: group for group in graph.groups}
    assert by_name["b"].producers == ("b", "up")
    assert by_name["grouped"].slices[0].indices.tolist() == [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
    ]


class Sequences(nn.Layer):
    """One-dimensional and transposed convolutions, channel slopes, upsampling, padding, products with a transpose."""

    def __init__(self):
        super().__init__()
        self.up, self.norm = nn.Conv2DTranspose(3, 6, 2), nn.InstanceNorm2D(6)
        self.slope, self.conv = nn.PReLU(6), nn.Conv2D(6, 7, 3)
        self.line = nn.Conv1D(7, 5, 3)
        self.hidden, self.norm1 = nn.Linear(5, 9), nn.BatchNorm1D(9)
        self.gain = self.create_parameter([9], default_initializer=nn.initializer.Constant(1.0))
        self.back = self.create_parameter([10, 9])

    def forward(self, x):
        x = self.slope(self.norm(self.up(x)))
        x = F.pad(F.interpolate(x, scale_factor=2), [1, 1, 1, 1])
        x = F.max_pool2d(self.conv(x), 2)
        x = self.line(x.flatten(2)).transpose([0, 2, 1])
        x = F.gelu(self.hidden(x)).mean(1)
        return paddle.matmul(self.norm1(x) * self.gain, self.back, transpose_y=True)


def test_other_layers(build: Build) -> None:
    """Layers beyond plain convolutions are cut right, raw parameters of a layer included."""
    graph = check(build(Sequences))
    assert [group.name for group in graph.groups] == ["up", "conv", "line", "hidden"]
    assert ("gain", 0) in {(part.parameter, part.axis) for part in graph.groups[3].slices}
    assert graph.fixed == {"back": "feeds the network's output"}


class Joined(nn.Layer):
    """Branches that are concatenated, shuffled, halved and stacked; one layer is used twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2D(3, 6, 1), nn.Conv2D(3, 4, 1), nn.Conv2D(10, 8, 1)
        self.d, self.twice, self.e = nn.Conv2D(8, 4, 1), nn.Conv2D(4, 4, 1), nn.Conv2D(4, 10, 1)

    def forward(self, x):
        x = F.relu(self.c(paddle.concat([self.a(x), self.b(x)], axis=1)))
        n, c, h, w = x.shape
        x = x.reshape([n, 2, c // 2, h, w]).transpose([0, 2, 1, 3, 4]).flatten(1, 2)
        x = self.twice(F.relu(self.twice(F.relu(self.d(x)))))
        first, second = paddle.chunk(x, 2, axis=1)
        return self.e(paddle.concat([second, first], axis=1)).flatten(2).max(-1)


def test_joined(build: Build) -> None:
    """Concatenated layers keep groups of their own; a shuffle ties the places of its halves."""
    graph = check(build(Joined))
    units = {group.name: group.units for group in graph.groups}
    assert (units["a"], units["b"], units["c"]) == (6, 4, 4)
    by_name = {group.name: group for group in graph.groups}
    assert by_name["b"].slices[-1].indices[:, 0].tolist() == [6, 7, 8, 9]
    assert by_name["d"].producers == ("d", "twice")
    assert by_name["d"].units == 2


class Transformer(nn.Layer):
    """Patches with a class token and positions, layer norm, attention and a two-layer perceptron."""

    def __init__(self):
        super().__init__()
        self.patch, self.norm = nn.Conv2D(3, 8, 4, stride=4), nn.LayerNorm(8)
        self.token, self.position = self.create_parameter([1, 1, 8]), self.create_parameter([1, 5, 8])
        self.query, self.value = nn.Linear(8, 16), nn.Linear(8, 16)
        self.project, self.wide, self.narrow = nn.Linear(16, 8), nn.Linear(8, 20), nn.Linear(20, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.token.expand([x.shape[0], -1, -1]), x], axis=1) + self.position
        y = self.norm(x)
        q, v = (part.reshape([x.shape[0], -1, 2, 8]).transpose([0, 2, 1, 3]) for part in (self.query(y), self.value(y)))
        attention = F.softmax(paddle.matmul(q, q, transpose_y=True) * 8**-0.5)
        y = paddle.matmul(attention, v).transpose([0, 2, 1, 3]).flatten(2)
        x = x + self.project(y)
        return self.head((x + self.narrow(F.gelu(self.wide(x))))[:, 0])


def test_transformer(build: Build) -> None:
    """A perceptron's hidden units can go, and what layer norm spans; heads whose number the code states stay."""
    graph = check(build(Transformer))
    assert [(group.name, group.units, group.mixed) for group in graph.groups] == [
        ("patch", 8, True),
        ("wide", 20, False),
    ]
    assert graph.groups[0].producers == ("patch", "project", "narrow")
    cut = {(part.parameter, part.axis) for part in graph.groups[0].slices}
    assert cut >= {("token", 2), ("position", 2), ("norm.weight", 0), ("norm.bias", 0)}
    assert "sizes are written in the network's code" in graph.fixed["query"]


class Stated(nn.Layer):
    """Its code states the number of features that the last convolution makes."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.classify = nn.Conv2D(3, 4, 1), nn.Conv2D(4, 6, 1), nn.Linear(6 * 64, 10)

    def forward(self, x):
        return self.classify(self.b(self.a(x)).reshape([-1, 6 * 64]))


class Own(nn.Layer):
    """A layer type of its own that carries a size."""

    class Block(nn.Layer):
        def __init__(self):
            super().__init__()
            self.weight, self.groups = self.create_parameter([6, 1, 3, 3]), 6

        def forward(self, x):
            return F.conv2d(x, self.weight, groups=self.groups)

    def __init__(self):
        super().__init__()
        self.a, self.own, self.b = nn.Conv2D(3, 6, 1), self.Block(), nn.Conv2D(6, 4, 1)
        self.classify = nn.Linear(4, 10)

    def forward(self, x):
        return self.classify(self.b(self.own(self.a(x))).mean([2, 3]))


class Unknown(nn.Layer):
    """Accumulates over its channels."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.classify = nn.Conv2D(3, 6, 1), nn.Conv2D(6, 4, 1), nn.Linear(4, 10)

    def forward(self, x):
        return self.classify(self.b(paddle.cumsum(self.a(x), axis=1)).mean([2, 3]))


class Tied(nn.Layer):
    """Two layers hold one weight."""

    def __init__(self):
        super().__init__()
        self.start, self.a, self.b, self.classify = (nn.Linear(n, m) for n, m in ((3, 6), (6, 6), (6, 6), (6, 10)))
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.classify(self.b(F.relu(self.a(self.start(x.mean([2, 3]))))))


class Fixed(nn.Layer):
    """Adds a constant with a number per channel, and slices channels."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2D(3, 6, 1), nn.Conv2D(6, 4, 1), nn.Conv2D(2, 4, 1)
        self.classify = nn.Linear(4, 10)
        self.register_buffer("shift", paddle.arange(6, dtype="float32").reshape([1, 6, 1, 1]))

    def forward(self, x):
        x = self.b(self.a(x) + self.shift)
        return self.classify(self.c(x[:, 1:3]).mean([2, 3]))


@pytest.mark.parametrize(
    ("network", "fixed"),
    [
        (Stated, {"b": "sizes are written in the network's code"}),
        (Own, {"a": "sizes are written in the network's code", "own": "sizes are written in the network's code"}),
        (Unknown, {"a": "reaches the operation cumsum, which surgery does not know"}),
        (Tied, {"start": "shares its weights", "a": "shares its weights"}),
        (Fixed, {"a": "can't be narrowed", "b": "is sliced"}),
    ],
)
def test_left_alone(network: type[nn.Layer], fixed: dict[str, str], build: Build) -> None:
    """What can't be shown to be right is not offered, and says why; the rest still is."""
    graph = check(build(network))
    for layer, reason in fixed.items():
        assert reason in graph.fixed[layer]
    assert not {name for group in graph.groups for name in group.producers} & fixed.keys()
    assert graph.groups or network is Tied


def test_network_is_left_as_it_was(build: Build) -> None:
    """Tracing changes neither the network nor the random state, and sees through quantized inputs."""
    model = build("lenet", (1, 28, 28))
    edits.Quantize(layer="conv2", bits=8, axis=0, input_scale=0.02).replay(model.network)
    outputs = model.predict(images(model))
    model.network.train()
    model.network.conv1.eval()
    before = model.digest()
    members = dict(model.network.__dict__)
    random = paddle.get_rng_state()[0].current_seed()

    graph = trace(model)
    assert [group.name for group in graph.groups] == ["conv1", "conv2", "fc1"]
    assert model.digest() == before
    assert model.network.__dict__ == members
    assert (model.network.training, model.network.conv1.training, model.network.conv2.training) == (True, False, True)
    assert np.array_equal(model.predict(images(model)), outputs)
    assert paddle.get_rng_state()[0].current_seed() == random


def test_not_traceable(build: Build) -> None:
    """A forward pass that fails under tracing is refused with its reason."""

    class Broken(nn.Layer):
        def forward(self, x):
            raise RuntimeError("needs a second input")

    with pytest.raises(TechniqueRefused, match="can't be traced"):
        trace(build(Broken))


class Transposed(nn.Layer):
    """Transposed convolutions in groups, among them one channel each, which makes two of each and one."""

    def __init__(self):
        super().__init__()
        self.a, self.grouped = nn.Conv2D(3, 8, 1), nn.Conv2DTranspose(8, 12, 3, groups=2)
        self.b, self.twofold = nn.Conv2D(12, 6, 1), nn.Conv2DTranspose(6, 12, 3, groups=6)
        self.c, self.single = nn.Conv2D(12, 5, 1), nn.Conv2DTranspose(5, 5, 3, groups=5, bias_attr=False)
        self.classify = nn.Linear(5, 10)

    def forward(self, x):
        x = F.relu(self.grouped(F.relu(self.a(x))))
        x = F.relu(self.twofold(F.relu(self.b(x))))
        return self.classify(self.single(self.c(x)).mean([2, 3]))


def test_transposed_in_groups(build: Build) -> None:
    """Groups of a transposed convolution lose the same places; a channel on its own goes with what it makes."""
    graph = check(build(Transposed))
    assert {group.name: (group.units, group.producers) for group in graph.groups} == {
        "a": (4, ("a",)),
        "grouped": (6, ("grouped",)),
        "b": (6, ("b", "twofold")),
        "c": (5, ("c", "single")),
    }


class Auxiliary(nn.Layer):
    """Has a second classifier, which only training uses."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.classify = nn.Conv2D(3, 6, 1), nn.Conv2D(6, 8, 1), nn.Linear(8, 10)
        self.auxiliary = nn.Linear(6, 10)

    def forward(self, x):
        x = F.relu(self.a(x))
        logits = self.classify(F.relu(self.b(x)).mean([2, 3]))
        return logits + self.auxiliary(x.mean([2, 3])) if self.training else logits


def test_what_only_training_reads(build: Build) -> None:
    """Units that a layer reads in training alone stay, so that a narrowed network can still be trained."""
    graph = check(build(Auxiliary))
    assert [group.name for group in graph.groups] == ["b"]
    assert "sizes are written in the network's code" in graph.fixed["a"]


class Random(nn.Layer):
    """Blocks one after another, each of a kind and a width."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks
        channels = 3
        for number, (kind, width) in enumerate(blocks):
            for name, layer in _layers(kind, channels, width).items():
                self.add_sublayer(f"{kind}{number}_{name}", layer)
            channels = {"residual": channels, "concat": channels + width, "depthwise": channels * 2}.get(kind, width)
        self.classify = nn.Linear(channels * 4, 5)

    def forward(self, x):
        for number, (kind, _) in enumerate(self.blocks):
            layer = {name: self._sub_layers.get(f"{kind}{number}_{name}") for name in ("a", "b", "norm")}
            a = layer["a"](x)
            if kind == "plain":
                x = F.relu(layer["norm"](a))
            elif kind == "residual":
                x = x + layer["b"](F.relu(a))
            elif kind == "concat":
                x = layer["norm"](paddle.concat([x, F.tanh(a)], axis=1))
            elif kind == "depthwise":
                x = F.hardswish(a)
            elif kind == "grouped":
                x = F.leaky_relu(layer["b"](a))
            else:
                x = F.relu(a) * F.sigmoid(layer["b"](F.adaptive_avg_pool2d(x, 1)))
        return self.classify(F.adaptive_avg_pool2d(x, 2).flatten(1))


def _layers(kind, channels, width):
    if kind == "plain":
        return {"a": nn.Conv2D(channels, width, 3, padding=1), "norm": nn.BatchNorm2D(width)}
    if kind == "residual":
        return {"a": nn.Conv2D(channels, width, 1), "b": nn.Conv2D(width, channels, 1, bias_attr=False)}
    if kind == "concat":
        return {"a": nn.Conv2D(channels, width, 1), "norm": nn.BatchNorm2D(channels + width)}
    if kind == "depthwise":
        return {"a": nn.Conv2D(channels, channels * 2, 3, padding=1, groups=channels)}
    if kind == "grouped":
        return {"a": nn.Conv2D(channels, width, 1), "b": nn.Conv2D(width, width, 1, groups=2)}
    return {"a": nn.Conv2D(channels, width, 1), "b": nn.Conv2D(channels, width, 1)}


KINDS = st.sampled_from(["plain", "residual", "concat", "depthwise", "grouped", "gate"])


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.lists(st.tuples(KINDS, st.sampled_from([2, 4, 6, 8])), min_size=2, max_size=5))
def test_any_network(blocks: list[tuple[str, int]], build_shared: Build) -> None:
    """Whatever blocks a network is put together from, its cuts are right."""
    check(build_shared(lambda: Random(blocks), (3, 6, 6), 5))
