"""Mean shifts of layers' outputs, and how they are taken back."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddlepress.core.progress import Silent
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.quantization.bias_correction import correct_bias, mean_shift
from paddlepress_components.quantization.post_training import QuantizePostTraining


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_mean_outputs_are_those_of_the_float_network(rounding: str) -> None:
    """On calibration data the corrected network's mean logits are the float one's; uncorrected they are not."""
    context = digits_context(trained())
    inputs = digits().split("calibration").inputs
    exact = trained().predict(inputs).mean(axis=0)
    shifts = []
    for correct in (False, True):
        technique = QuantizePostTraining(bits=2, rounding=rounding, bias_correction=correct)
        shifts.append(np.abs(run(technique, trained(), context).predict(inputs).mean(axis=0) - exact).max())
    assert shifts[0] > 0.05
    assert shifts[1] < 1e-3


def test_a_batch_normalization_takes_the_shift_of_a_layer_without_bias() -> None:
    """A convolution that has no bias is corrected in the mean of the batch normalization that reads it."""
    paddle.seed(0)
    conv, norm = nn.Conv2D(3, 4, 3, bias_attr=False), nn.BatchNorm2D(4)
    norm.eval()
    x = paddle.randn([8, 3, 6, 6]) + 1
    with paddle.no_grad():
        exact, pairs = norm(conv(x)), [(x[:5], conv(x[:5])), (x[5:], conv(x[5:]))]
        conv.weight.set_value(np.sign(conv.weight.numpy()) * np.float32(0.1))
        shift = mean_shift(conv, pairs)
        assert np.abs(shift).max() > 0.01
        assert correct_bias(conv, shift, norm)
        np.testing.assert_allclose(norm(conv(x)).mean([0, 2, 3]), exact.mean([0, 2, 3]), atol=1e-5)


def test_a_layer_with_neither_is_left_as_it_is() -> None:
    """Without a bias or a normalization there is nothing to correct, which is told."""
    layer = nn.Linear(3, 2, bias_attr=False)
    assert not correct_bias(layer, np.ones(2), None)


def test_layers_that_can_not_be_corrected_are_named() -> None:
    """The first factor of a factorized layer has no bias; the note says so."""
    from paddlepress_components.factorization.dense import FactorizeDense

    class Notes(Silent):
        def __init__(self) -> None:
            self.said: list[str] = []

        def note(self, text: str) -> None:
            self.said.append(text)

    notes = Notes()
    context = digits_context(trained(), progress=notes)
    split = run(FactorizeDense(ratio=2, recovery_epochs=0), trained(), context)
    run(QuantizePostTraining(bits=4, bias_correction=True), split, context)
    assert [said for said in notes.said if "no bias" in said] == [
        "fc1.first has no bias to correct, and no batch normalization after it"
    ]
