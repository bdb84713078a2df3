"""A graph that computes something else than its network is refused, and the message says where it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import digits_models
import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import TechniqueRefused
from paddlepress.data import Split
from paddlepress.deployment import conversion, decomposition, integers, verification
from paddlepress.deployment.export import check_exportable, export
from paddlepress.network.model import Model

compute.prepare()
import paddle  # noqa: E402
from own_networks import SHAPE, Computed, Lambda, as_model  # noqa: E402
from paddle import nn  # noqa: E402


def _network() -> nn.Layer:
    return nn.Sequential(
        ("first", nn.Conv2D(1, 4, 3)),
        ("act", nn.LeakyReLU(0.3)),
        ("second", nn.Conv2D(4, 4, 3)),
        ("flat", nn.Flatten()),
    )


def _refusal(model: Model, folder: Path) -> str:
    store.save(model, folder / "artifact")
    with pytest.raises(TechniqueRefused, match="architecture 'own' can't be deployed") as caught:
        export(model, folder / "artifact", folder / "deployable")
    assert not (folder / "deployable").exists()
    return str(caught.value)


def test_the_first_layer_that_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a graph in which one layer computes something else, that layer and its operators are named."""
    monkeypatch.setattr(decomposition, "_replace", _wrong_slope)
    model = as_model(_network, monkeypatch)
    said = _refusal(model, tmp_path)
    assert "first layer whose output differs is 'act' (operators: leaky_relu)" in said
    assert "off by" in said


def _wrong_slope(block: Any, found: Any) -> bool:
    """In place of the rules: LeakyReLU as if its slope were another."""
    import paddle.nn.functional as F

    if found.name() != "pd_op.leaky_relu" or abs(found.attrs()["negative_slope"] - 0.3) > 1e-6:
        return False
    paddle.base.libpaddle.pir.set_insertion_point(found)
    found.result(0).replace_all_uses_with(F.leaky_relu(found.operand_source(0), 0.2))
    block.remove_op(found)
    return True


class Own(nn.Layer):
    """Computes something between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.second(paddle.nn.functional.leaky_relu(self.first(x.flatten(1)) - 4, 0.3))


class Naming(Own):
    """Gives a layer its input by name."""

    def forward(self, x: Any) -> Any:
        return self.second(input=paddle.nn.functional.leaky_relu(self.first(input=x.flatten(1)) - 4, 0.3))


@pytest.mark.parametrize("network", [Own, Naming])
def test_a_difference_outside_of_layers(
    network: type[nn.Layer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network's own forward computes wrong is told by the layers before and after it."""
    monkeypatch.setattr(decomposition, "_replace", _wrong_slope)
    said = _refusal(as_model(network, monkeypatch), tmp_path)
    assert "computed by the network itself, outside of its sublayers after 'first' before 'second' (operators: " in said
    assert "leaky_relu" in said


def test_an_unknown_operator_and_its_layer_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the converter does not know is named, and none of those that it does."""
    model = as_model(lambda: Computed(Lambda(lambda x: paddle.cumprod(x.tanh(), 1)), SHAPE), monkeypatch)
    assert "does not convert cumprod in layer 'then'" in _refusal(model, tmp_path)
    monkeypatch.setattr(decomposition, "RULES", {})
    model = as_model(lambda: Computed(nn.Softplus(3.0), SHAPE), monkeypatch)
    said = _refusal(model, tmp_path)
    assert "does not convert softplus in layer 'then'" in said
    assert "Only support softplus with beta == 1.0" in said


def test_a_graph_that_does_not_run_names_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where conversion gives a graph that ONNX Runtime refuses, the operator that became it is named."""
    monkeypatch.setattr(decomposition, "RULES", {})
    model = as_model(lambda: Computed(Lambda(lambda x: x.repeat_interleave(2, axis=1)), SHAPE), monkeypatch)
    assert "ONNX Runtime does not run what becomes of repeat_interleave in layer 'then'" in _refusal(model, tmp_path)


def test_a_layer_that_is_not_traced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a network's own code raises when it is traced is told with the layer that it comes from."""

    def sized(x: Any) -> Any:
        assert x.shape[0] > 0, "a batch of no size"
        return x

    said = _refusal(as_model(lambda: Computed(Lambda(sized), SHAPE), monkeypatch), tmp_path)
    assert "Paddle did not trace layer 'then' (AssertionError: a batch of no size)" in said


class Mixed(nn.Layer):
    """Gives for each example a sum over the batch that it comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 4)

    def forward(self, x: Any) -> Any:
        y = self.fc(x.flatten(1))
        return y * (x.shape[0] if isinstance(x.shape[0], int) and x.shape[0] > 0 else 1)


def test_several_batches_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that is right for a batch of one alone is refused."""
    said = _refusal(as_model(Mixed, monkeypatch), tmp_path)
    assert "its outputs for a batch of 3 are off by" in said


def test_random_inputs_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture is checked before there is any data; zeros that training would fill do not hide a fault.

    Neither the model nor the random numbers that are drawn next are touched.
    """
    model = as_model(_network, monkeypatch)
    for parameter in model.network.parameters():
        parameter.set_value(np.zeros(parameter.shape, np.float32))
    before = model.digest()
    paddle.seed(1)
    expected = paddle.rand([3]).numpy()
    paddle.seed(1)
    check_exportable(model)
    assert np.array_equal(paddle.rand([3]).numpy(), expected)
    monkeypatch.setattr(decomposition, "_replace", _wrong_slope)
    with pytest.raises(TechniqueRefused, match="first layer whose output differs is 'act'"):
        check_exportable(model)
    assert model.digest() == before


def test_rounding_is_no_difference(lenet_int8: Model) -> None:
    """Outputs that are off as far as rounding throws them are those of the network; ten times as far they are not.

    How far is told from many inputs: the first, of zeros, is hardly rounded at all.
    """
    inputs = verification.random_inputs(lenet_int8.inputs, 32)
    inputs[0] = 0
    expected = lenet_int8.predict(inputs)
    with verification.unrounded(lenet_int8):
        noise = np.sqrt(np.mean((lenet_int8.predict(inputs) - expected) ** 2))
    assert verification._rounding(lenet_int8, inputs[:1]) < noise / 3
    random = np.random.default_rng(1)

    def off_by(times: float) -> verification.Run:
        return lambda batch: lenet_int8.predict(batch) + times * noise * random.normal(size=(len(batch), 10))

    verification.verify(lenet_int8, off_by(1.0), inputs)
    with pytest.raises(TechniqueRefused, match=r"where \S+ is rounding"):
        verification.verify(lenet_int8, off_by(10.0), inputs)


def test_the_first_layer_with_wrong_integers_is_named(
    lenet: Model, digits: tuple[Split, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias that is lost where a layer's weights become integers is more than rounding, and the layer is named."""
    inputs = digits[1].inputs
    shifted = lenet.copy()
    dict(shifted.network.named_parameters())["conv2.bias"].set_value(np.linspace(0.5, 3, 64).astype(np.float32))
    model = digits_models.quantized(shifted, inputs)
    store.save(model, tmp_path / "artifact")
    export(model, tmp_path / "artifact", tmp_path / "right", inputs)
    make_integer = integers._make_integer

    def forgetful(graph: Any, node: Any, edit: Any) -> None:
        make_integer(graph, node, edit)
        if edit.layer == "conv2":
            del node.input[2:]

    monkeypatch.setattr(integers, "_make_integer", forgetful)
    with pytest.raises(TechniqueRefused, match="first layer whose integers make it differ is 'conv2'"):
        export(model, tmp_path / "artifact", tmp_path / "wrong", inputs)
    assert not (tmp_path / "wrong").exists()


def test_a_wrong_graph_that_fails_on_larger_batches_is_told(lenet: Model) -> None:
    """What differs for one example is refused as such, and where it comes from is asked with that example."""
    asked: list[bool] = []

    def run(batch: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        if len(batch) > 1:
            raise RuntimeError("it was traced with a batch of one")
        return lenet.predict(batch) + 1

    def locate(differs: Any) -> str:
        asked.extend([differs(run), differs(lenet.predict)])
        return "found"

    with pytest.raises(TechniqueRefused, match=r"computes something else: .* batch of 1 .*; found"):
        verification.verify(lenet, run, locate=locate)
    assert asked == [True, False]


def test_a_network_without_digits_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that a millionth of the inputs changes are compared no closer than that."""
    model = as_model(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), monkeypatch)
    far = np.full((4, *SHAPE), 1e6, np.float32)
    model.network[1].weight.set_value(np.repeat(np.arange(64)[:, None] % 2 * 2 - 1, 4, axis=1).astype(np.float32))
    expected = model.predict(far)
    moved = verification._movement(model, far, expected)
    assert moved > 1
    verification.verify(model, lambda batch: model.predict(batch) + np.float32(moved), far)
    with pytest.raises(TechniqueRefused):
        verification.verify(model, lambda batch: model.predict(batch) + np.float32(10 * moved), far)


def test_a_converter_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is stopped, and that is said."""
    monkeypatch.setattr(conversion, "CONVERSION_LIMIT_S", 0)
    with pytest.raises(conversion.NotConverted, match="did not end within 0 s"):
        conversion.convert(tmp_path / "nothing")
