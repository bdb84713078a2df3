from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core.errors import DataError, TechniqueRefused, UsageError
from paddlepress.deployment import bundle, single_onnx_file
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.deployment.verification import unrounded
from paddlepress.evaluation import size
from paddlepress.network.edits import Share, parameter
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.pruning.prune_weights import PruneWeights
from paddlepress_components.quantization.calibration import input_ranges
from paddlepress_components.quantization.post_training import QuantizePostTraining


def test_per_channel_scales_run_along_the_outputs() -> None:
    """A convolution has a scale for each filter, a dense layer one for each unit; per tensor there is one."""
    context = digits_context(trained())
    model = run(QuantizePostTraining(), trained(), context)
    assert {name: scale.size for name, scale in model.scales.items()} == {
        "conv1.weight": 32,
        "conv2.weight": 64,
        "fc1.weight": 128,
        "fc2.weight": 10,
    }
    model = run(QuantizePostTraining(granularity="per-tensor"), trained(), context)
    assert all(scale.size == 1 for scale in model.scales.values())


def test_a_layer_that_is_spared_stays_as_it_is_where_it_is_deployed(tmp_path: Path) -> None:
    """The runtime does not round the weights of a layer of floats between two of integers, as it would by itself."""
    base, inputs = trained(), np.asarray(digits().split("test").inputs)
    model = run(QuantizePostTraining(exclude=["conv2"]), base, digits_context(base))
    store.save(model, tmp_path / "model")
    export(model, tmp_path / "model", tmp_path / "deployable", inputs)
    found, expected = Predictor.load(tmp_path / "deployable").run(inputs), model.predict(inputs)
    with unrounded(model):
        rounding = np.square(model.predict(inputs) - expected).mean()
    # What is left are values halfway between two integers, which either rounds to another one.
    assert np.square(found - expected).mean() < 0.5 * rounding
    # It compares the two, on a runtime as it is.
    single_onnx_file.write(tmp_path / "deployable", tmp_path / "out", {})


def test_weights_use_seven_bits_only_where_inputs_are_rounded() -> None:
    """reduce_range narrows the codes with int8 inputs, and has no effect on float inputs."""
    context = digits_context(trained())
    rounded = run(QuantizePostTraining(), trained(), context)
    floating = run(QuantizePostTraining(activations="none"), trained(), context)
    assert np.abs(rounded.codes("fc1.weight").codes).max() == 63
    assert np.abs(floating.codes("fc1.weight").codes).max() == 127
    assert all(edit.input_scale is None for edit in floating.quantized().values())


def test_zeros_survive_quantization() -> None:
    """A pruned model is as sparse after quantization, and smaller codes may only add zeros."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.8, recovery_epochs=0), trained(), context)
    model = run(QuantizePostTraining(), sparse, context)
    assert len(model.quantized()) == 4
    for name in model.quantized():
        zero = parameter(sparse.network, name).numpy() == 0
        assert not model.codes(name).codes[zero].any()


@pytest.mark.parametrize("rounding", ["nearest", "adaround", "gptq"])
@pytest.mark.parametrize("bits", [4, 1])
def test_pruned_weights_stay_zero_however_they_are_rounded(bits: int, rounding: str) -> None:
    """Masked zeros are zeros afterwards; with 1 bit all other weights have a sign."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.6, recovery_epochs=0), trained(), context)
    steps = {"adaround_steps": 5} if rounding == "adaround" else {}
    model = run(QuantizePostTraining(bits=bits, rounding=rounding, **steps), sparse, context)
    assert len(model.quantized()) == 4
    for name in model.quantized():
        zero = parameter(sparse.network, name).numpy() == 0
        codes = model.codes(name).codes
        assert not codes[zero].any()
        assert bits > 1 or codes[~zero].all()


@pytest.mark.parametrize(
    ("rounding", "bits", "left"), [("adaround", 2, 0.5), ("gptq", 2, 0.5), ("adaround", 1, 0.5), ("gptq", 1, 0.8)]
)
def test_rounding_by_data_keeps_predictions_nearer(bits: int, rounding: str, left: float) -> None:
    """With few bits only a share of the error that nearest codes make is left in outputs on data never seen."""
    context = digits_context(trained())
    inputs = digits().split("validation").inputs
    exact = trained().predict(inputs)
    steps = {"adaround_steps": 150} if rounding == "adaround" else {}
    errors = [
        np.square(run(QuantizePostTraining(bits=bits, **how), trained(), context).predict(inputs) - exact).mean()
        for how in ({"rounding": "nearest"}, {"rounding": rounding, **steps})
    ]
    assert errors[1] < left * errors[0]


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_groups_have_scales_of_their_own(rounding: str) -> None:
    """A layer has a scale for each run of an output's weights; one whose outputs have fewer has one for each output."""
    context = digits_context(trained())
    model = run(
        QuantizePostTraining(bits=4, granularity="per-group", group_size=24, rounding=rounding), trained(), context
    )
    shapes = {name: scale.shape for name, scale in model.scales.items()}
    assert shapes == {"conv1.weight": (32,), "conv2.weight": (64, 12), "fc1.weight": (128, 11), "fc2.weight": (10, 6)}
    assert model.quantized()["conv1.weight"].group is None


def test_groups_fit_the_weights_better() -> None:
    """With nearest codes, weights with a scale for each group are nearer to what they were than with one a unit."""
    context = digits_context(trained())
    exact = parameter(trained().network, "fc1.weight").numpy()
    errors = []
    for grid in (
        {"granularity": "per-group", "group_size": 16},
        {"granularity": "per-channel"},
        {"granularity": "per-tensor"},
    ):
        model = run(QuantizePostTraining(bits=4, weight_range="mse", **grid), trained(), context)
        errors.append(float(np.square(parameter(model.network, "fc1.weight").numpy() - exact).sum()))
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    ("bits", "rounding", "covered"),
    [
        (8, "nearest", ["max"]),
        (8, "gptq", ["max"]),
        (4, "nearest", ["mse", "max"]),
        (4, "gptq", ["max"]),
        (4, "adaround", ["max"]),
        (2, "gptq", ["mse"]),
        (2, "nearest", ["mse"]),
    ],
)
def test_what_a_grid_covers_by_default(bits: Literal[8, 4, 2], rounding: Any, covered: list[str]) -> None:
    """Clipping pays for three values and, where 4 bits are rounded one by one, some outputs; fields override it."""
    assert QuantizePostTraining(bits=bits, rounding=rounding).covers(bits) == tuple(covered)
    assert QuantizePostTraining(bits=bits, rounding=rounding, weight_range="mse").covers(bits) == ("mse",)


@pytest.mark.parametrize("weight_range", ["max", "mse"])
def test_what_a_grid_covers(weight_range: str) -> None:
    """max: the largest weight of each output is the last code; mse: some are beyond it."""
    technique = QuantizePostTraining(bits=4, weight_range=weight_range)
    model = run(technique, trained(), digits_context(trained()))
    weight = parameter(trained().network, "fc1.weight").numpy()
    last = 7 * model.scales["fc1.weight"]
    assert np.allclose(np.abs(weight).max(axis=0), last) == (weight_range == "max")
    assert (np.abs(weight).max(axis=0) >= last * 0.999).all()


def test_the_range_that_changes_the_outputs_less() -> None:
    """With output each scale is that of max or of mse, some of both, and the first layer's outputs change less."""
    import paddle

    context, exact = digits_context(trained()), parameter(trained().network, "conv1.weight").numpy()
    inputs = paddle.to_tensor(context.calibration.inputs)
    scales, off = {}, {}
    for weight_range in ("max", "mse", "output"):
        technique = QuantizePostTraining(bits=4, weight_range=weight_range, activations="none")
        model = run(technique, trained(), context)
        scales[weight_range] = np.concatenate([scale.ravel() for scale in model.scales.values()])
        twin = trained().copy()
        twin.network.conv1.weight.set_value(parameter(model.network, "conv1.weight").numpy() - exact)
        twin.network.conv1.bias.set_value(np.zeros(twin.network.conv1.bias.shape, np.float32))
        off[weight_range] = float(twin.network.conv1(inputs).square().sum())
    largest, fitted = (np.isclose(scales["output"], scales[one]) for one in ("max", "mse"))
    assert (largest | fitted).all() and not largest.all() and not fitted.all()
    assert off["output"] <= min(off["max"], off["mse"]) * 1.001


@pytest.mark.parametrize("calibrator", ["min-max", "percentile", "entropy", "mse"])
def test_every_calibrator_keeps_the_accuracy(calibrator: str) -> None:
    """With 8 bits the network classifies as before, nearly, however its input ranges were read."""
    technique = QuantizePostTraining(calibrator=calibrator)
    model = run(technique, trained(), digits_context(trained()))
    inputs = digits().split("test").inputs
    assert np.mean(model.predict(inputs).argmax(1) == trained().predict(inputs).argmax(1)) > 0.95


@pytest.mark.parametrize(("name", "places"), [("float16", 11), ("bfloat16", 8)])
def test_formats_of_16_bits(name: str, places: int, tmp_path: Path) -> None:
    """Weights have as many binary places as the format, and are stored in two bytes each."""
    model = run(QuantizePostTraining(bits=16, format=name), trained(), digits_context(trained()))
    weight, exact = (parameter(one.network, "fc1.weight").numpy() for one in (model, trained()))
    error = np.abs(weight - exact) / np.maximum(np.abs(exact), 1e-3)
    assert 2.0 ** -(places + 2) < error.max() <= 2.0**-places
    store.save(model, tmp_path / "model")
    rows = {f"{row.layer}.{row.parameter}": row for row in size.layers(tmp_path / "model")}
    assert rows["fc1.weight"].bits == 16
    assert rows["fc1.weight"].bytes == 2 * rows["fc1.weight"].parameters
    assert store.load(tmp_path / "model").digest() == model.digest()


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor", "per-group"])
@pytest.mark.parametrize("activations", ["int8", "none"])
@pytest.mark.parametrize("bits", [4, 2, 1])
def test_few_bits_are_deployed_as_they_were_simulated(
    bits: int, activations: str, granularity: str, tmp_path: Path
) -> None:
    """ONNX Runtime classifies as the network does: on integers where there are kernels, else on decoded floats."""
    runs = {"group_size": 32} if granularity == "per-group" else {}
    technique = QuantizePostTraining(
        bits=bits, activations=activations, granularity=granularity, rounding="gptq", **runs
    )
    model = run(technique, trained(), digits_context(trained()))
    store.save(model, tmp_path / "model")
    export(model, tmp_path / "model", tmp_path / "deployable")
    inputs = digits().split("test").inputs
    assert store.load(tmp_path / "model").digest() == model.digest()
    deployed, simulated = Predictor.load(tmp_path / "deployable").predict(inputs), model.predict(inputs)
    assert np.mean(deployed.argmax(1) == simulated.argmax(1)) >= 0.97
    if activations == "none":
        np.testing.assert_allclose(deployed, simulated, atol=1e-4 * np.abs(simulated).max())
    on_integers = b":codes" in bundle.read(tmp_path / "deployable").graph
    assert on_integers == (activations == "int8" and granularity != "per-group")


@pytest.mark.parametrize("bits", [8, 16])
def test_quantizing_twice_is_refused(bits: int) -> None:
    """A quantized layer is not quantized again; the message names it and its bits."""
    context = digits_context(trained())
    model = run(QuantizePostTraining(bits=bits, exclude=["fc*"]), trained(), context)
    for again in (QuantizePostTraining(), QuantizePostTraining(bits=16)):
        with pytest.raises(TechniqueRefused, match=rf"conv1 is quantized already \({bits} bits\)"):
            run(again, model, context)
    rest = run(QuantizePostTraining(exclude=["conv*"]), model, context)
    assert set(rest.quantized()) == {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"}


def test_shared_weights_are_not_quantized() -> None:
    """Weights that take their values from a codebook keep them."""
    model = trained().copy()
    values = np.sign(parameter(model.network, "fc1.weight").numpy()).astype(np.float32)
    parameter(model.network, "fc1.weight").set_value(values)
    with pytest.raises(TechniqueRefused, match=r"fc1 is shared already \(2 bits\)"):
        run(QuantizePostTraining(), model.with_edits(Share(layer="fc1", bits=2)), digits_context(trained()))


def test_input_ranges_are_those_of_the_data() -> None:
    """Min-max ranges are the extremes of what each layer received; a percentile cuts outliers off."""
    network, inputs = trained().network, digits().split("calibration").inputs
    layers = {"conv1": network.conv1, "fc1": network.fc1}
    extremes = input_ranges(network, layers, inputs)
    assert extremes["conv1"] == (float(inputs.min()), float(inputs.max()))
    assert extremes["fc1"][0] == 0
    cut = input_ranges(network, layers, inputs, percentile=99)
    assert 0 < cut["fc1"][1] < extremes["fc1"][1]
    assert not network.conv1._forward_pre_hooks


def test_calibration_without_data_is_refused() -> None:
    """Rounding inputs without calibration data says what is missing."""
    empty = digits().split("calibration")
    context = digits_context(trained(), calibration=type(empty)(empty.inputs[:0], empty.labels[:0]))
    for fields in ({}, {"activations": "none", "rounding": "gptq"}, {"activations": "none", "weight_range": "output"}):
        with pytest.raises(DataError, match="calibration split is empty"):
            run(QuantizePostTraining(**fields), trained(), context)
    run(QuantizePostTraining(activations="none"), trained(), context)


def test_values_that_are_not_finite_have_no_range() -> None:
    """A network that overflows on calibration data is refused, with the layer that shows it first."""
    model = trained().copy()
    parameter(model.network, "conv1.weight").set_value(np.full((32, 1, 3, 3), np.inf, np.float32))
    with pytest.raises(TechniqueRefused, match="conv2 receives values that are not finite"):
        run(QuantizePostTraining(), model, digits_context(trained()))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bits": 16, "rounding": "gptq"}, "'rounding' is 'gptq', which does nothing with bits 16"),
        ({"bits": 16, "granularity": "per-tensor"}, "'granularity' is 'per-tensor', which does nothing with bits 16"),
        ({"bits": 8, "format": "bfloat16"}, "'format' is 'bfloat16', which does nothing with bits 8"),
        ({"activations": "none", "calibrator": "mse"}, "'calibrator' is 'mse', which does nothing with activations"),
    ],
)
def test_fields_in_vain_are_refused(fields: dict[str, Any], told: str) -> None:
    """Floats have no grid to round to, and inputs that stay floats no range."""
    with pytest.raises(UsageError, match=told):
        technique("quantize-post-training", fields)
