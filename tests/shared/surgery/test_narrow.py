"""Cuts of real networks: what is left computes what it computed before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surgical import Build, assert_same_as_silenced, images, random_units

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import UnknownName
from paddlepress.network import edits
from paddlepress.network.grids import fit_scale, put_on_grid
from paddlepress.network.inserted_layers import LowRankLinear, float_inputs
from paddlepress.network.model import Model
from paddlepress.spec.tensors import Quantized
from paddlepress.surgery.graph import describe, narrow, narrow_all, trace

compute.prepare()
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402

from paddlepress.network.layer_kinds import weighted_layers  # noqa: E402


class Separable(nn.Layer):
    """A depthwise convolution that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2D(3, 12, 1)
        self.depthwise = nn.Conv2D(12, 24, 3, padding=1, groups=12)
        self.norm = nn.BatchNorm2D(24)
        self.project = nn.Conv2D(24, 8, 1)
        self.classify = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.depthwise(self.expand(x))))
        return self.classify(self.project(x).mean([2, 3]))


NETWORKS = {
    "lenet": (1, 28, 28),
    "lenet-300-100": (1, 28, 28),
    "lenet5-caffe": (1, 28, 28),
    "vision/resnet18": (3, 64, 64),
    "vision/mobilenet_v2": (3, 64, 64),
    "vision/mobilenet_v3_small": (3, 64, 64),
    "vision/squeezenet1_1": (3, 64, 64),
    "vision/shufflenet_v2_x0_25": (3, 64, 64),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_group_at_once(name: str, build: Build) -> None:
    """Narrowing every group gives what the original gives with those units silenced, in a smaller network."""
    model = build(name, NETWORKS[name])
    groups = {group.name: group for group in trace(model).groups}
    keep = {group: random_units(groups[group]) for group in groups}
    after = narrow_all(model.copy(), keep)

    assert sum(value.size for value in after.state().values()) < 0.7 * sum(v.size for v in model.state().values())
    assert len(after.edits) == 1
    assert_same_as_silenced(model, groups, keep, after)


@pytest.mark.parametrize("name", ["lenet", "vision/squeezenet1_1"])
def test_one_group_after_another(name: str, build: Build) -> None:
    """The groups of one trace can be narrowed in turn, also those that share an axis through concatenation."""
    model = build(name, NETWORKS[name])
    groups = {group.name: group for group in trace(model).groups[:5]}
    keep = {group: random_units(groups[group]) for group in groups}
    after = model.copy()
    for group in groups:
        after = narrow(after, groups[group], keep[group])
    assert len(after.edits) == len(groups)
    assert_same_as_silenced(model, groups, keep, after)


def test_down_to_one_unit(build: Build) -> None:
    """A depthwise convolution still works when a single channel is left."""
    model = build(Separable)
    groups = {group.name: group for group in trace(model).groups}
    assert groups["expand"].producers == ("expand", "depthwise")
    keep = {"expand": np.array([5])}
    after = narrow_all(model.copy(), keep)
    depthwise = edits.find(after.network, "depthwise")
    assert (depthwise._in_channels, depthwise._out_channels, depthwise._groups) == (1, 2, 1)
    assert_same_as_silenced(model, groups, keep, after)
    assert trace(after).fixed["expand"] == "comes down to a single unit"


def test_graph_at_hand(build: Build) -> None:
    """A graph that was traced before can be used for several cuts, each of other groups."""
    model = build("vision/squeezenet1_1", (3, 64, 64))
    graph = trace(model)
    groups = {group.name: group for group in graph.groups[1:5]}
    keep = {name: random_units(group) for name, group in groups.items()}
    first, second = list(keep)[:2], list(keep)[2:]
    after = narrow_all(model.copy(), {name: keep[name] for name in first}, graph)
    after = narrow_all(after, {name: keep[name] for name in second}, graph)
    assert_same_as_silenced(model, groups, keep, after)


def test_narrow_again(build: Build) -> None:
    """A narrowed model can be traced and narrowed again."""
    first = build("lenet", (1, 28, 28))
    first = narrow_all(first, {"conv1": np.arange(0, 32, 2), "conv2": np.arange(48)})
    groups = {group.name: group for group in trace(first).groups}
    assert groups["conv1"].units == 16
    keep = {group: random_units(groups[group]) for group in groups}
    second = narrow_all(first.copy(), keep)
    assert len(second.edits) == 2
    assert_same_as_silenced(first, groups, keep, second)


@pytest.mark.parametrize("network", ["lenet", Separable])
def test_reload(network: str | type[nn.Layer], build: Build, tmp_path: Path) -> None:
    """A narrowed model that was saved and loaded computes the same, bit for bit, and can be narrowed on."""
    model = build(network, (1, 28, 28) if network == "lenet" else (3, 8, 8))
    model = narrow_all(model, {group.name: random_units(group) for group in trace(model).groups})
    store.save(model, tmp_path / "model")
    loaded = store.load(tmp_path / "model")
    assert np.array_equal(loaded.predict(images(model)), model.predict(images(model)))
    assert [group.units for group in trace(loaded).groups] == [group.units for group in trace(model).groups]


@pytest.mark.parametrize("network", ["lenet", Separable])
def test_train_after(network: str | type[nn.Layer], build: Build) -> None:
    """A narrowed model can be trained: every weight that was trainable gets a gradient."""
    import paddle

    model = build(network, (1, 28, 28) if network == "lenet" else (3, 8, 8))
    trainable = {n for n, p in model.network.named_parameters() if not p.stop_gradient}
    model = narrow_all(model, {group.name: random_units(group) for group in trace(model).groups})
    model.network.train()
    x = paddle.to_tensor(images(model))
    paddle.nn.functional.cross_entropy(model.network(x), paddle.to_tensor([0, 1, 2])).backward()
    parameters = dict(model.network.named_parameters())
    assert {n for n, p in parameters.items() if not p.stop_gradient} == trainable
    assert all(parameters[n].grad is not None and parameters[n].grad.shape == parameters[n].shape for n in trainable)


@pytest.mark.parametrize(("layer", "axis"), [("conv2", 0), ("fc1", 1), ("fc1", None)])
def test_quantized(layer: str, axis: int | None, build: Build, tmp_path: Path) -> None:
    """A quantized weight stays on its grid, with the scales of the channels that are left."""
    model = build("lenet", (1, 28, 28))
    weight = edits.parameter(model.network, f"{layer}.weight")
    value = weight.numpy()
    others = None if axis is None else tuple(other for other in range(value.ndim) if other != axis)
    scale = np.atleast_1d((np.abs(value).max(axis=others) / 127).astype(np.float32))
    shape = [-1 if other == axis else 1 for other in range(value.ndim)] if others else [1] * value.ndim
    codes = np.rint(value / scale.reshape(shape)).astype(np.int8)
    weight.set_value(Quantized(codes=codes, scale=scale, axis=axis).values())
    model.scales[f"{layer}.weight"] = scale
    edit = edits.Quantize(layer=layer, bits=8, axis=axis, input_scale=0.05, input_zero_point=128)
    edit.replay(model.network)
    model = model.with_edits(edit)
    groups = {group.name: group for group in trace(model).groups}
    assert set(groups) == {"conv1", "conv2", "fc1"}

    keep = {group: random_units(groups[group]) for group in groups}
    after = narrow_all(model.copy(), keep)
    tensor = after.codes(f"{layer}.weight")
    assert tensor.scale.size == (1 if axis is None else tensor.codes.shape[axis])
    store.save(after, tmp_path / "model")
    loaded = store.load(tmp_path / "model")
    assert np.array_equal(loaded.predict(images(model)), after.predict(images(model)))
    # Rounding inputs turns the last bit of a sum into a whole step now and then: compare without it.
    with float_inputs(model.network), float_inputs(after.network):
        assert_same_as_silenced(model, groups, keep, after)


def grouped(model: Model, layer: str, group: int, wider: float = 1.0) -> Model:
    """A model with a dense layer's weight on 4-bit grids, one for each run of weights."""
    edit = edits.Quantize(layer=layer, bits=4, axis=1, group=group)
    value = edits.parameter(model.network, edit.parameter).numpy()
    put_on_grid(model, edit, fit_scale(value, 4, 1, group, cover="max") * np.float32(wider))
    return model.with_edits(edit)


@pytest.mark.parametrize("name", ["lenet", "vit", "lstm"])
def test_grids_of_runs_of_weights_stop_no_cut(name: str, build: Build) -> None:
    """Where runs of weights share a scale, the same groups can be cut as without any grid."""
    model = build(name, (1, 28, 28))
    expected = describe(trace(model))
    for layer, found in weighted_layers(model.network).items():
        if isinstance(found, nn.Linear):
            model = grouped(model, layer, 32)
    assert describe(trace(model)) == expected


@pytest.mark.parametrize("wider", [1.0, 1.3])
def test_runs_of_weights_that_stay_together_stay_as_they_are(wider: float, build: Build) -> None:
    """Only where a cut brings weights of different scales into one run are those rounded again."""
    model = grouped(build("lenet-300-100", (1, 28, 28)), "fc2", 20, wider)
    before = edits.parameter(model.network, "fc2.weight").numpy()
    scales = model.scales["fc2.weight"]
    # Of 300 inputs go all of the runs 2 and 3, and a single one of run 7.
    keep = np.setdiff1d(np.arange(300), [*range(40, 80), 145])
    after = narrow(model, trace(model).group("fc1"), keep)
    value = after.codes("fc2.weight").values()
    np.testing.assert_array_equal(value[:100], before[keep][:100])
    np.testing.assert_array_equal(after.scales["fc2.weight"][:, :5], scales[:, [0, 1, 4, 5, 6]])
    # The runs behind that one are 19 weights of a run and one of the next; the last run is 19 of one alone.
    np.testing.assert_array_equal(value[240:], before[keep][240:])
    np.testing.assert_array_equal(after.scales["fc2.weight"][:, -1], scales[:, -1])
    assert np.abs(value - before[keep]).max() < 2 * scales.max()


def test_factorized(build: Build) -> None:
    """The rank of a factorized layer can be narrowed like any other width."""
    model = build("lenet", (1, 28, 28))
    edits.replace(model.network, "fc1", LowRankLinear.in_place_of(edits.find(model.network, "fc1"), 12))
    model = model.with_edits(edits.Factorize(layer="fc1", rank=12))
    groups = {group.name: group for group in trace(model).groups}
    assert groups["fc1.first"].units == 12
    assert groups["fc1.first"].kind == "neurons"
    assert groups["fc1.first"].consumers == ("fc1.second",)
    keep = {group: random_units(groups[group]) for group in groups}
    after = narrow_all(model.copy(), keep)
    assert_same_as_silenced(model, groups, keep, after)


def test_layers_know_their_sizes(build: Build) -> None:
    """Convolutions and norms report the sizes that they have after a cut."""
    model = build(Separable)
    model = narrow_all(model, {"expand": np.arange(7)})
    depthwise = edits.find(model.network, "depthwise")
    assert (depthwise._in_channels, depthwise._out_channels, depthwise._groups) == (7, 14, 7)
    assert edits.find(model.network, "norm")._num_features == 14
    assert edits.find(model.network, "project")._in_channels == 14


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([], "at least one"),
        ([0, 32], "no unit 32; valid are 0 to 31"),
        ([-1, 3], "no unit -1"),
        ([3, 1], "sorted and unique"),
        ([1, 1], "sorted and unique"),
        ([0.5], "vector of unit numbers"),
        ([[1, 2]], "vector of unit numbers"),
    ],
)
def test_bad_keep(keep: list[float], message: str, build: Build) -> None:
    """What can't be kept is refused with the reason, and the network stays whole."""
    model = build("lenet", (1, 28, 28))
    group = trace(model).groups[0]
    with pytest.raises(ValueError, match=message):
        narrow(model, group, np.array(keep))
    with pytest.raises(ValueError, match=message):
        narrow_all(model, {"conv2": np.arange(3), "conv1": np.array(keep)})
    assert model.predict(images(model)).shape == (3, 10)
    assert edits.parameter(model.network, "conv2.weight").shape == [64, 32, 3, 3]


def test_the_same_group_twice(build: Build) -> None:
    """A group that was narrowed has to be traced again before it is narrowed further."""
    model = build("lenet", (1, 28, 28))
    group = trace(model).groups[0]
    model = narrow(model, group, np.arange(8))
    with pytest.raises(ValueError, match="'conv1' was narrowed since it was traced"):
        narrow(model, group, np.arange(8))


def test_unknown_group(build: Build) -> None:
    """A group that is not there is refused with those that are."""
    with pytest.raises(UnknownName, match=r"'conv3'.*Valid: conv1, conv2, fc1"):
        narrow_all(build("lenet", (1, 28, 28)), {"conv3": np.arange(3)})


def test_keep_everything(build: Build) -> None:
    """Keeping every unit changes nothing and records nothing."""
    model = build("lenet", (1, 28, 28))
    assert narrow(model, trace(model).groups[0], np.arange(32)) is model
