"""Quantized layers are deployed as integers where that makes them fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import digits_models
import numpy as np
import onnx
import onnxruntime
import pytest

from paddlepress.artifact import store
from paddlepress.data import Split
from paddlepress.deployment import integers
from paddlepress.deployment.graph import Graph
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.edits import Quantize, QuantizeOutput
from paddlepress.network.grids import quantize_weight
from paddlepress.network.model import Model

Deploy = Callable[..., Path]


def _kernels(deployable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The kernels that ONNX Runtime chooses for a deployable."""

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.optimized_model_filepath = str(tmp_path / "optimized.onnx")

    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", Options)
        Predictor.load(deployable)
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


def _agreement(model: Model, deployable: Path, inputs: np.ndarray) -> float:
    deployed = Predictor.load(deployable).predict(inputs)
    return float(np.mean(deployed.argmax(1) == model.predict(inputs).argmax(1)))


def test_predictions_are_those_of_the_simulation(
    lenet_int8: Model, digits: tuple[Split, Split], deploy: Deploy
) -> None:
    """At least 99% of test images are classified as Paddle's simulation of the integers does."""
    assert _agreement(lenet_int8, deploy(lenet_int8), digits[1].inputs) >= 0.99


def test_a_single_scale_is_that_of_every_output(
    lenet: Model, digits: tuple[Split, Split], deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers of one scale have integer kernels too, and large biases, which need a step of their own, are kept."""
    model = digits_models.quantized(lenet, digits[0].inputs)
    edits = []
    for edit in (edit for edit in model.edits if isinstance(edit, Quantize)):
        found = quantize_weight(lenet.state()[edit.parameter], 8, None, reduce_range=True)
        dict(model.network.named_parameters())[edit.parameter].set_value(found.values())
        model.scales[edit.parameter] = found.scale
        edits.append(edit.model_copy(update={"axis": None}))
    dict(model.network.named_parameters())["conv1.bias"].set_value(np.linspace(-1, 3, 32).astype(np.float32))
    model = replace(model, edits=tuple(edits))
    deployable = deploy(model)
    kernels = _kernels(deployable, tmp_path, monkeypatch)
    assert kernels["QLinearConv"] == kernels["QGemm"] == 2
    assert _agreement(model, deployable, digits[1].inputs) >= 0.98


def test_every_layer_of_lenet_runs_on_integers(
    lenet_int8: Model, deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions and dense layers have integer kernels, and pooling stays between them on integers."""
    kernels = _kernels(deploy(lenet_int8), tmp_path, monkeypatch)
    assert kernels["QLinearConv"] == 2
    assert kernels["QGemm"] == 2
    assert not {"Conv", "Gemm", "FusedGemm", "DequantizeLinear", "Relu"} & kernels.keys()


def test_batch_normalization_is_folded_into_integer_convolutions(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A residual network keeps no batch normalization, and is as near to the float one as the simulation is."""
    inputs = np.random.default_rng(0).normal(size=(64, 3, 32, 32)).astype(np.float32)
    model = digits_models.settle(digits_models.build("vision/resnet18", (3, 32, 32)), inputs[:16])
    quantized = digits_models.quantized(model, inputs)
    deployable = deploy(quantized)
    kernels = _kernels(deployable, tmp_path, monkeypatch)
    assert kernels["QLinearConv"] >= 8
    assert not {"BatchNormalization", "ConvInteger"} & kernels.keys()
    exact, simulated = model.predict(inputs), quantized.predict(inputs)
    deployed = Predictor.load(deployable).predict(inputs)
    assert np.std(deployed - exact) < 1.2 * np.std(simulated - exact) < 0.4 * np.std(exact - exact.mean(0))


def test_weight_only_quantization_computes_with_floats(
    lenet: Model, digits: tuple[Split, Split], deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a grid for its input a layer is decoded to floats once, when it is loaded."""
    model = digits_models.quantized(lenet, digits[0].inputs, activations=False)
    deployable = deploy(model)
    assert not {"DequantizeLinear", "QuantizeLinear"} & _kernels(deployable, tmp_path, monkeypatch).keys()
    np.testing.assert_allclose(
        Predictor.load(deployable).predict(digits[1].inputs), model.predict(digits[1].inputs), atol=1e-4
    )


def test_a_lone_quantized_layer_costs_nothing(
    lenet: Model, digits: tuple[Split, Split], deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer between float layers, which no integer kernel fits, is deployed with floats and no rounding."""
    whole = digits_models.quantized(lenet, digits[0].inputs)
    lone = lenet.copy()
    dict(lone.network.named_parameters())["conv2.weight"].set_value(whole.state()["conv2.weight"])
    lone.scales["conv2.weight"] = whole.scales["conv2.weight"]
    edit = next(edit for edit in whole.edits if isinstance(edit, Quantize) and edit.layer == "conv2")
    deployable = deploy(lone.with_edits(edit))
    assert not {"DequantizeLinear", "QuantizeLinear"} & _kernels(deployable, tmp_path, monkeypatch).keys()
    assert _agreement(lone, deployable, digits[1].inputs) >= 0.99


def test_a_filter_of_zeros_keeps_its_bias(lenet: Model, digits: tuple[Split, Split], deploy: Deploy) -> None:
    """A pruned filter, whose scale is next to nothing, still contributes its bias."""
    pruned = lenet.copy()
    parameters = dict(pruned.network.named_parameters())
    for name in ("conv1.weight", "conv2.weight"):
        value = parameters[name].numpy()
        value[::2] = 0
        parameters[name].set_value(value)
    parameters["conv2.bias"].set_value(np.linspace(0.5, 3, 64).astype(np.float32))
    model = digits_models.quantized(pruned, digits[0].inputs)
    assert _agreement(model, deploy(model), digits[1].inputs) >= 0.99


def test_products_of_three_dimensions_stay_products() -> None:
    """A MatMul over sequences gets integers too, but is not made a Gemm, which takes two dimensions."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("MatMul", ["x", "fc.weight"], ["p"]), helper.make_node("Add", ["p", "fc.bias"], ["y"])]
    constants = [
        numpy_helper.from_array(np.ones((4, 3), np.float32), "fc.weight"),
        numpy_helper.from_array(np.ones(3, np.float32), "fc.bias"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 7, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 7, 3])]
    graph = Graph(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants)))
    edit = Quantize(layer="fc", bits=8, axis=1, input_scale=0.1, input_zero_point=3)
    assert integers.insert(graph, {"fc.weight": edit}) == {"fc.weight"}
    assert [node.op_type for node in graph.nodes if node.op_type in {"MatMul", "Gemm", "Add"}] == ["MatMul", "Add"]


@pytest.mark.parametrize(("name", "fewest"), [("resnet18", 7), ("mobilenet_v2", 10)])
def test_residual_additions_run_on_integers(
    name: str, fewest: int, deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rounded operands additions and the convolutions before them have integer kernels, and err no more."""
    inputs = np.random.default_rng(0).normal(size=(48, 3, 32, 32)).astype(np.float32)
    model = digits_models.settle(digits_models.build(f"vision/{name}", (3, 32, 32)), inputs[:16])
    quantized = digits_models.quantized(model, inputs)
    rounded = digits_models.rounded_between(quantized, inputs)
    before = _kernels(deploy(quantized, "before"), tmp_path, monkeypatch)
    deployable = deploy(rounded, "after")
    after = _kernels(deployable, tmp_path, monkeypatch)
    assert after["QLinearConv"] > before["QLinearConv"]
    assert after["QLinearAdd"] >= fewest
    assert not {"BatchNormalization", "ConvInteger"} & after.keys()
    exact, simulated = model.predict(inputs), rounded.predict(inputs)
    assert np.std(simulated - exact) < 1.5 * np.std(quantized.predict(inputs) - exact)
    assert np.std(Predictor.load(deployable).predict(inputs) - exact) < 1.3 * np.std(simulated - exact)
    reloaded = store.load(tmp_path / "after" / "artifact")
    assert np.array_equal(reloaded.predict(inputs[:8]), rounded.predict(inputs[:8]))


@pytest.mark.parametrize(
    ("name", "size", "floats"),
    [
        ("resnet-cifar", 28, set()),
        ("vision/googlenet", 48, {"GlobalAveragePool", "Mul", "Gemm"}),  # behind a dropout that scales in evaluation
        ("vision/squeezenet1_1", 48, {"GlobalAveragePool", "Mul"}),
        ("vision/shufflenet_v2_x0_25", 32, set()),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else "",
)
def test_no_convolution_is_left_on_floats(
    name: str, size: int, floats: set[str], deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functional activations, pools, concatenations and shuffles between them stay on integers as well."""
    inputs = np.random.default_rng(0).normal(size=(16, 3, size, size)).astype(np.float32)
    model = digits_models.settle(digits_models.build(name, (3, size, size)), inputs)
    rounded = digits_models.rounded_between(digits_models.quantized(model, inputs), inputs)
    kernels = _kernels(deploy(rounded), tmp_path, monkeypatch)
    computing = {"Conv", "FusedConv", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool", "Relu"}
    assert (computing | {"BatchNormalization", "ConvInteger"}) & kernels.keys() <= floats
    assert kernels["QLinearConv"] == sum(
        "conv" in type(layer).__name__.lower() and hasattr(layer, "weight") for layer in model.network.sublayers()
    )
    assert kernels["QuantizeLinear"] <= 2


def _flat() -> Any:
    """A network in one piece: the shortcut is nobody's output."""
    import paddle
    import paddle.nn.functional as F
    from paddle import nn

    class Flat(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = (nn.Conv2D(channels, 8, 3, padding=1) for channels in (1, 8, 8))
            self.three, self.head = nn.Conv2D(8, 8, 3, padding=1), nn.Linear(8, 10)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            x = F.relu(F.leaky_relu(self.stem(x)) + 0.1)
            x = F.relu(self.one(x) + x)
            x = F.leaky_relu(self.two(x)) + x
            return self.head(F.relu6(self.three(x) + x).mean([2, 3]))

    return Flat()


def test_a_shortcut_is_named_by_its_reader_alone(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no layer gives it the reader rounds it for all, in the simulation as in the graph, and after reloading."""
    from paddlepress.network import architectures

    registered = architectures.build
    monkeypatch.setattr(
        architectures, "build", lambda ref, *others: _flat() if ref.name == "flat" else registered(ref, *others)
    )
    model = digits_models.build("flat", (1, 8, 8))
    inputs = np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype(np.float32)
    rounded = digits_models.rounded_between(digits_models.quantized(model, inputs), inputs)
    assert {edit.reader for edit in rounded.quantized_outputs() if not edit.layer} == {"one", "two"}
    deployable = deploy(rounded)
    kernels = _kernels(deployable, tmp_path, monkeypatch)
    assert kernels["QLinearConv"] == 4
    assert kernels["QLinearAdd"] >= 1
    seen = rounded.predict(inputs)
    before = inputs.copy()
    assert np.array_equal(store.load(tmp_path / "model" / "artifact").predict(inputs), seen)
    assert np.array_equal(inputs, before)
    np.testing.assert_allclose(Predictor.load(deployable).predict(inputs), seen, atol=0.05 * np.abs(seen).max())
    assert np.mean(np.abs(Predictor.load(deployable).predict(inputs) - seen) > 1e-5) < 0.2


def test_edits_of_earlier_versions(deploy: Deploy) -> None:
    """An artifact that rounds a convolution's output and a block's, each named as before, deploys as it simulates."""
    inputs = np.random.default_rng(0).normal(size=(16, 3, 16, 16)).astype(np.float32)
    model = digits_models.settle(digits_models.build("resnet-cifar", (3, 16, 16)), inputs)
    quantized = digits_models.quantized(model, inputs)
    reader = quantized.quantized()["stage2.0.conv1.weight"]
    assert reader.input_scale is not None
    edits = [
        QuantizeOutput.model_validate(found)
        for found in (
            {"layer": "stage1.0.norm2", "scale": 0.05, "zero_point": 128, "reader": ""},
            {"layer": "stage1.0", "scale": reader.input_scale, "zero_point": 0, "reader": "stage2.0.conv1"},
        )
    ]
    for edit in edits:
        edit.replay(quantized.network)
    old = quantized.with_edits(*edits)
    simulated, deployed = old.predict(inputs), Predictor.load(deploy(old)).predict(inputs)
    assert np.std(simulated - deployed) < 0.1 * np.std(simulated)
