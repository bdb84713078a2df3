"""Quantized layers are deployed as integers where that makes them fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
from paddlepress.grid import quantize_weight
from paddlepress.model import Model
from paddlepress.surgery.edits import Quantize

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
    from paddlepress_components.quantization.residual_adds import round_operands

    inputs = np.random.default_rng(0).normal(size=(48, 3, 32, 32)).astype(np.float32)
    model = digits_models.settle(digits_models.build(f"vision/{name}", (3, 32, 32)), inputs[:16])
    quantized = digits_models.quantized(model, inputs)
    rounded = round_operands(quantized.copy(), inputs, lambda values: (float(values.min()), float(values.max())))
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
