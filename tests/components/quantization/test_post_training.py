from __future__ import annotations

import numpy as np
import pytest

from paddlepress.errors import DataError, TechniqueRefused
from paddlepress.surgery.edits import parameter
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.pruning.prune_weights import PruneWeights
from paddlepress_components.quantization.calibration import input_ranges, percentile_range
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
    for name in model.quantized():
        zero = parameter(sparse.network, name).numpy() == 0
        assert not model.codes(name).codes[zero].any()


@pytest.mark.parametrize("bits", [8, 16])
def test_quantizing_twice_is_refused(bits: int) -> None:
    """A quantized layer is not quantized again; the message names it and its bits."""
    context = digits_context(trained())
    model = run(QuantizePostTraining(bits=bits, exclude=["fc*"]), trained(), context)
    with pytest.raises(TechniqueRefused, match=rf"quantized already: conv1 \({bits} bits\)"):
        run(QuantizePostTraining(), model, context)
    rest = run(QuantizePostTraining(exclude=["conv*"]), model, context)
    assert set(rest.quantized()) == {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"}


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


def test_a_percentile_leaves_its_share_inside() -> None:
    """Of a uniform histogram, as many percent as asked lie inside at either end."""
    low, high = percentile_range(np.ones(1000, np.int64), -1.0, 1.0, 95)
    assert low == pytest.approx(-0.9, abs=0.01)
    assert high == pytest.approx(0.9, abs=0.01)


def test_calibration_without_data_is_refused() -> None:
    """Rounding inputs without calibration data says what is missing."""
    empty = digits().split("calibration")
    context = digits_context(trained(), calibration=type(empty)(empty.inputs[:0], empty.labels[:0]))
    with pytest.raises(DataError, match="calibration split is empty"):
        run(QuantizePostTraining(), trained(), context)
