"""Bits where they matter most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core.errors import DataError, TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.data import Split
from paddlepress.evaluation import size
from paddlepress.tasks import Classification
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.quantization.fields import IntegerFields
from paddlepress_components.quantization.mixed import QuantizeMixed
from paddlepress_components.quantization.post_training import QuantizePostTraining
from paddlepress_components.quantization.sensitivity import divergence, nominal_bytes, options


def weight_bits(directory: Path) -> float:
    """Bits that a weight of the quantized layers takes in an artifact."""
    rows = [row for row in size.layers(directory) if row.parameter == "weight"]
    return 8 * sum(row.bytes for row in rows) / sum(row.parameters for row in rows)


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_the_artifact_keeps_to_the_budget_and_to_what_was_logged(rounding: str, tmp_path: Path) -> None:
    """Weights take no more bytes than asked, and each layer is stored in the bits that were logged for it."""
    logged: dict[str, float] = {}
    context = digits_context(trained(), log=lambda name, value, step: logged.__setitem__(name, value))
    model = run(QuantizeMixed(budget=2.5, rounding=rounding), trained(), context)
    store.save(model, tmp_path / "model")
    assert weight_bits(tmp_path / "model") <= 2.5
    assert logged["bits_per_weight"] == pytest.approx(weight_bits(tmp_path / "model"), rel=1e-6)
    bits = {name.removeprefix("bits."): value for name, value in logged.items() if name.startswith("bits.")}
    assert bits == {edit.layer: edit.bits for edit in model.quantized().values()}
    assert len(set(bits.values())) > 1
    for row in size.layers(tmp_path / "model"):
        if row.parameter == "weight":
            # 8-bit weights beside 8-bit inputs use codes of 7 bits.
            assert row.bits <= bits[row.layer] < 2 * row.bits + 1


def test_sensitive_layers_get_more_than_an_even_share() -> None:
    """Mixed at the size of 2 bits everywhere and a little more, predictions stay much nearer to the float ones."""
    context = digits_context(trained())
    inputs = digits().split("validation").inputs
    even = run(QuantizePostTraining(bits=2), trained(), context)
    mixed = run(QuantizeMixed(budget=3.0, size="nominal"), trained(), context)
    exact = trained().predict(inputs)
    assert divergence(mixed.task, exact, mixed.predict(inputs)) < 0.5 * divergence(
        mixed.task, exact, even.predict(inputs)
    )


def test_measuring_leaves_the_model_alone_and_tells_of_bits_and_damage() -> None:
    """More bits damage less; pruned weights stay zero while it is measured; the weights are back afterwards."""
    model = trained().copy()
    layers = {"conv2": model.network.conv2, "fc1": model.network.fc1}
    fields = IntegerFields(activations="none")
    inputs = digits().split("calibration").inputs[:64]
    found = options(model, layers, (1, 2, 4, 8), fields, inputs, nominal_bytes, Silent())
    assert model.digest() == trained().digest()
    for measured in found.values():
        assert [one.bits for one in measured] == [1, 2, 4, 8]
        damages = [one.damage for one in measured]
        assert damages == sorted(damages, reverse=True)
        assert [one.bytes for one in measured] == sorted(one.bytes for one in measured)


def test_divergence_is_of_probabilities() -> None:
    """It is 0 for logits that are shifted alike, and that of the formula for two classes."""
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    task = Classification(classes=("a", "b", "c"))
    assert divergence(task, logits, logits + 7) == pytest.approx(0, abs=1e-6)
    exact, other = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    assert divergence(task, exact, other) == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))


def test_a_budget_below_the_fewest_bits_is_refused() -> None:
    """The message says what these layers take at least."""
    with pytest.raises(TechniqueRefused, match=r"budget of 0.5 bits a weight is too small: with 2 bits everywhere"):
        run(QuantizeMixed(budget=0.5), trained(), digits_context(trained()))


def test_layers_that_are_quantized_already_are_refused() -> None:
    """As every technique that quantizes does; the message names them."""
    context = digits_context(trained())
    model = run(QuantizePostTraining(bits=16, exclude=["fc*"]), trained(), context)
    with pytest.raises(TechniqueRefused, match=r"conv1 is quantized already \(16 bits\)"):
        run(QuantizeMixed(), model, context)


def test_measuring_needs_data() -> None:
    """Without calibration data the message says what is missing."""
    empty = Split(digits().split("calibration").inputs[:0], digits().split("calibration").labels[:0])
    with pytest.raises(DataError, match="calibration split is empty"):
        run(QuantizeMixed(activations="none"), trained(), digits_context(trained(), calibration=empty))


@pytest.mark.parametrize("fields", [{"bits": [8, 3]}, {"bits": []}, {"budget": 0}, {"size": "small"}])
def test_what_it_can_not_be_asked_for(fields: dict[str, Any]) -> None:
    """Bits that no grid has, no bits, no budget, and another way to count are refused by the field's name."""
    with pytest.raises(UsageError, match=next(iter(fields))):
        technique("quantize-mixed", fields)
