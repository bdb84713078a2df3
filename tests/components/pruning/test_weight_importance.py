"""How units are judged, from weights, gradients and activations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from paddle import nn
from surgical import Build, builder

from paddlepress.core.errors import TechniqueRefused
from paddlepress.data import Split
from paddlepress.network.edits import parameter
from paddlepress.network.model import Model
from paddlepress.surgery.graph import trace
from paddlepress.surgery.groups import Group, Slice
from paddlepress.testing import digits, trained
from paddlepress_components.pruning import activation_importance, gradient_importance, weight_importance


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    with pytest.MonkeyPatch.context() as patch:
        yield builder(patch)


class Normed(nn.Layer):
    """Convolutions with batch norms, a depthwise and a grouped one, and a recurrent layer with a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2D(1, 6, 3, padding=1), nn.BatchNorm2D(6)
        self.depthwise, self.norm2 = nn.Conv2D(6, 6, 3, padding=1, groups=6), nn.BatchNorm2D(6)
        self.conv2 = nn.Conv2D(6, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 5, num_layers=2, direction="bidirect")
        self.fc = nn.Linear(10, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.depthwise(x)))
        x = F.relu(self.conv2(x)).mean(3).transpose([0, 2, 1])
        return self.fc(self.lstm(x)[0].mean(1))


class Projection(nn.Layer):
    """A dense layer whose weight has a name of its own."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.kernel = self.create_parameter([units, features])
        self.offset = self.create_parameter([units], is_bias=True)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x @ self.kernel.T + self.offset


class Bare(nn.Layer):
    """Units that are made by parameters of the network itself, and by a layer that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = self.create_parameter([64, 32]), self.create_parameter([32], is_bias=True)
        self.hidden = Projection(32, 24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(x.flatten(1) @ self.w1 + self.b1)
        return self.fc(F.relu(self.hidden(x)))


def dense(weight: np.ndarray) -> tuple[nn.Layer, Group]:
    """A dense layer with a given weight [units, features], and its outputs as a group."""
    network = nn.Sequential(("fc", nn.Linear(weight.shape[1], weight.shape[0])))
    parameter(network, "fc.weight").set_value(weight.T.astype(np.float32))
    units = np.arange(len(weight))[:, None]
    columns = Slice("fc.weight", 1, units, len(weight), "out")
    return network, Group("fc", len(weight), ("fc",), (), (columns,), "neurons")


def test_l1_is_the_sum_of_each_filters_magnitudes() -> None:
    """A filter's L1 importance is that of its own weights, not of the weights that read it."""
    network = trained().network
    scores = weight_importance.l1(network, trace(trained()).groups)
    expected = np.abs(parameter(network, "conv1.weight").numpy()).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(scores["conv1"], expected, rtol=1e-5)
    np.testing.assert_allclose(scores["fc1"], np.abs(parameter(network, "fc1.weight").numpy()).sum(axis=0), rtol=1e-5)


def test_taylor_gives_a_dead_filter_no_importance() -> None:
    """A filter whose output nobody reads could go at no cost, however large its weights."""
    model = trained().copy()
    reader = parameter(model.network, "conv2.weight")
    weight = reader.numpy()
    weight[:, 7] = 0
    reader.set_value(weight)
    before = model.digest()
    scores = gradient_importance.taylor(model, trace(model).groups, digits().split("train"), batches=4, seed=0)
    assert scores["conv1"][7] == 0
    assert np.count_nonzero(scores["conv1"]) > 25
    assert model.digest() == before


@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-2, 2, width=16)),
    st.integers(0, 5),
)
def test_what_most_filters_say_is_least_important(others: np.ndarray, seed: int) -> None:
    """Where more than half of the filters are the same, one of those is closest to all: the geometric median."""
    repeated = np.random.default_rng(seed).normal(0, 1, (1, others.shape[1])).astype(np.float32)
    weight = np.concatenate([others, np.repeat(repeated, len(others) + 1, axis=0)])
    network, group = dense(weight)
    scores = weight_importance.geometric_median(network, [group])["fc"]
    same = scores[len(others) :]
    np.testing.assert_array_equal(same, same[0])
    assert same[0] <= scores.min() + 1e-5


@given(arrays(np.float32, (5, 3), elements=st.floats(-2, 2, width=16)))
def test_geometric_median_is_the_sum_of_distances(weight: np.ndarray) -> None:
    """The distances are those between the filters' weights, whatever they are centred on."""
    network, group = dense(weight)
    expected = np.linalg.norm(weight[:, None].astype(np.float64) - weight, axis=2).sum(axis=1)
    np.testing.assert_allclose(weight_importance.geometric_median(network, [group])["fc"], expected, atol=1e-4)


@given(arrays(np.float32, (4, 3), elements=st.floats(-2, 2, width=16)))
def test_l2_is_the_length(weight: np.ndarray) -> None:
    """A unit's L2 importance is the length of the vector of its weights."""
    network, group = dense(weight)
    np.testing.assert_allclose(
        weight_importance.l2(network, [group])["fc"], np.linalg.norm(weight.astype(np.float64), axis=1), atol=1e-6
    )


def test_batch_norm_scale_is_the_importance(build: Build) -> None:
    """Of tied filters the scales of all their norms count; what no norm scales is refused."""
    model = build(Normed, (1, 8, 8))
    graph = trace(model)
    scores = weight_importance.batch_norm(model.network, [graph.group("conv1")])
    scales = [np.abs(parameter(model.network, f"norm{number}.weight").numpy()) for number in (1, 2)]
    np.testing.assert_allclose(scores["conv1"], scales[0] + scales[1], rtol=1e-6)
    with pytest.raises(TechniqueRefused, match="no batch norm scales the filters of 'conv2'"):
        weight_importance.batch_norm(model.network, graph.groups)


def test_recurrent_units_are_all_their_gates(build: Build) -> None:
    """A recurrent unit's weights are those of its gates, in every layer and direction."""
    model = build(Normed, (1, 8, 8))
    group = trace(model).group("lstm")
    expected = sum(
        np.abs(tensor.numpy()).sum(axis=1).reshape(4, 5).sum(axis=0)
        for name, tensor in model.network.lstm.named_parameters()
        if name.startswith("weight")
    )
    np.testing.assert_allclose(weight_importance.l1(model.network, [group])["lstm"], expected, rtol=1e-5)


def test_units_of_layers_that_nobody_prepared_are_judged(build: Build) -> None:
    """Where a parameter of the network itself, or one of any name, makes units, its values by unit count."""
    model = build(Bare, (1, 8, 8))
    graph = trace(model)
    scores = weight_importance.l1(model.network, graph.groups)
    np.testing.assert_allclose(scores["w1"], np.abs(model.network.w1.numpy()).sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scores["hidden"], np.abs(model.network.hidden.kernel.numpy()).sum(axis=1), rtol=1e-5)
    assert weight_importance.geometric_median(model.network, graph.groups)["w1"].shape == (32,)
    scores = gradient_importance.taylor(model, graph.groups, digits().split("train"), batches=1, seed=0)
    assert np.count_nonzero(scores["w1"]) > 16
    hidden = [graph.group("hidden")]
    assert activation_importance.activity(model.network, hidden, digits().split("calibration"))["hidden"].shape == (24,)
    with pytest.raises(TechniqueRefused, match="no batch norm scales the neurons of 'w1'"):
        weight_importance.batch_norm(model.network, graph.groups)
    with pytest.raises(TechniqueRefused, match="no layer reads the neurons of 'w1'"):
        activation_importance.activity(model.network, graph.groups, digits().split("calibration"))


@pytest.mark.parametrize("measure", [gradient_importance.taylor, gradient_importance.output_gradient])
def test_gradients_go_through_norms_and_recurrent_layers(measure: object, build: Build) -> None:
    """Every group of such a network gets scores, always the same, and the network stays as it was."""
    model = build(Normed, (1, 8, 8))
    groups = trace(model).groups
    model.network.train()
    before = model.digest()
    data = digits().split("train")
    scores = [measure(model, groups, data, batches=2, seed=0) for _ in range(2)]  # type: ignore[operator]
    assert model.digest() == before
    assert model.network.training
    for group in groups:
        np.testing.assert_array_equal(scores[0][group.name], scores[1][group.name])
        assert scores[0][group.name].shape == (group.units,)
        assert np.count_nonzero(scores[0][group.name]) >= group.units // 2


def loss_without(model: Model, group: Group, unit: int, data: Split) -> float:
    """The loss of the network without one unit."""
    from paddlepress.surgery.graph import narrow

    twin = narrow(model.copy(), group, np.delete(np.arange(group.units), unit))
    logits = twin.network(paddle.to_tensor(data.inputs))
    return float(F.cross_entropy(logits, paddle.to_tensor(data.labels)))


def test_output_gradient_is_what_removal_does() -> None:
    """A unit's score is how far its removal moves an example's loss, to first order."""
    model = trained().copy()
    # What each unit adds is made small, so that the first order is all there is to its removal.
    reader = parameter(model.network, "fc2.weight")
    reader.set_value(reader.numpy() * 1e-2)
    group = trace(model).group("fc1")
    one = digits().split("train").take(1)
    logits = model.network(paddle.to_tensor(one.inputs))
    loss = float(F.cross_entropy(logits, paddle.to_tensor(one.labels)))
    scores = gradient_importance.output_gradient(model, [group], one, batches=1, seed=0)["fc1"]
    changes = np.array([abs(loss_without(model, group, unit, one) - loss) for unit in range(group.units)])
    assert np.count_nonzero(scores) > 10
    np.testing.assert_allclose(scores, changes, rtol=0.05, atol=1e-5)


def test_apoz_counts_zeros_after_the_rectifier() -> None:
    """A unit's activity is how often the next layer reads something else than zero of it."""
    model = trained().copy()
    bias = parameter(model.network, "fc1.bias")
    value = bias.numpy()
    value[5], value[6] = -1e4, 1e4
    bias.set_value(value)
    data = digits().split("calibration")
    scores = activation_importance.activity(model.network, trace(model).groups, data, batch_size=100)
    assert scores["fc1"][5] == 0
    assert scores["fc1"][6] == 1
    network = model.network
    x = F.relu(F.max_pool2d(network.conv1(paddle.to_tensor(data.inputs)), 2))
    np.testing.assert_allclose(scores["conv1"], (x.numpy() != 0).mean(axis=(0, 2, 3)), rtol=1e-6)


def test_apoz_is_refused_where_nothing_rectifies(build: Build) -> None:
    """Units whose outputs are never zero all look alike: that is said, not ranked."""
    model = build(Normed, (1, 8, 8))
    with pytest.raises(TechniqueRefused, match="no output of the neurons of 'lstm' is ever zero"):
        activation_importance.activity(model.network, trace(model).groups, digits().split("calibration"))
