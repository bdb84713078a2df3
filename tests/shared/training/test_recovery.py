from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddlepress.forward.score import score
from paddlepress.network.edits import Mask, Quantize, Share, parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.network.inserted_layers import simulate_quantized_input
from paddlepress.network.model import Model
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.hooks import Hook
from paddlepress.training.masks import KeepZeros
from paddlepress.training.recovery import Recovery, retrain
from paddlepress.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=1, batch_size=64, learning_rate=1e-3, weight_decay=0.01)


def masked_model() -> Model:
    model = trained().copy()
    for name in ("conv1.weight", "fc1.weight"):
        weight = parameter(model.network, name).numpy()
        weight[np.abs(weight) < np.median(np.abs(weight))] = 0
        parameter(model.network, name).set_value(weight)
    return model.with_edits(Mask(parameters=("conv1.weight", "fc1.weight")))


def quantized_model() -> Model:
    model = trained().copy()
    edits = (
        Quantize(layer="conv2", bits=8, axis=0, reduce_range=True, input_scale=0.02, input_zero_point=0),
        Quantize(layer="fc1", bits=16),
    )
    for edit in edits:
        put_on_grid(model, edit)
    simulate_quantized_input(model.network.conv2, 0.02, 0)
    return model.with_edits(*edits)


def test_zeros_are_exactly_zero_after_every_step() -> None:
    """Masked weights never move, and are +0.0, while the others train."""
    model = masked_model()
    zeros = {name: parameter(model.network, name).numpy() == 0 for name in model.masked()}
    before = parameter(model.network, "fc1.weight").numpy()
    seen = []

    class Look(Hook):
        def after_step(self, done: int, total: int) -> None:
            keeper.after_step(done, total)
            for name, zero in zeros.items():
                weight = parameter(model.network, name).numpy()[zero]
                seen.append(not weight.any() and not np.signbit(weight).any())

    keeper = KeepZeros(model.network, model.masked())
    retrain(model, digits_context(trained()), SETTINGS, hooks=[Look()])
    assert len(seen) > 30
    assert all(seen)
    assert not np.array_equal(parameter(model.network, "fc1.weight").numpy(), before)


def test_retraining_holds_masks_by_itself() -> None:
    """A model's masks are in force without anyone asking."""
    model = masked_model()
    zeros = {name: parameter(model.network, name).numpy() == 0 for name in model.masked()}
    retrain(model, digits_context(trained()), SETTINGS)
    assert zeros.keys() == {"conv1.weight", "fc1.weight"}
    for name, zero in zeros.items():
        assert np.array_equal(parameter(model.network, name).numpy() == 0, zero)


def test_quantized_weights_train_on_their_grid() -> None:
    """After training, 8-bit weights are other codes of the same scales and 16-bit ones float16 values again."""
    model = quantized_model()
    before, scale = model.codes("conv2.weight").codes, model.scales["conv2.weight"].copy()
    first = parameter(model.network, "conv1.weight").numpy()
    retrain(model, digits_context(trained()), SETTINGS)
    codes = model.codes("conv2.weight").codes
    assert np.abs(codes).max() <= 63
    assert not np.array_equal(codes, before)
    assert np.array_equal(model.scales["conv2.weight"], scale)
    half = parameter(model.network, "fc1.weight").numpy()
    assert np.array_equal(half.astype(np.float16).astype(np.float32), half)
    # The layer before the rounded input learns too: rounding passes gradients straight through.
    assert not np.array_equal(parameter(model.network, "conv1.weight").numpy(), first)


@pytest.mark.parametrize(("bits", "axis", "group"), [(4, 1, 32), (2, 1, None), (1, None, None)])
def test_training_goes_through_the_grid(bits: Any, axis: int | None, group: int | None) -> None:
    """The validation accuracy of the last epoch is that of the model on its grid, and beats the start by far."""
    model = trained().copy()
    edit = Quantize(layer="fc1", bits=bits, axis=axis, group=group)
    put_on_grid(model, edit)
    model = model.with_edits(edit)
    measured: list[float] = []

    def log(name: str, value: float, step: int) -> None:
        if name == "validation_accuracy":
            measured.append(value)

    validation = digits().split("validation")
    before = score(model.network, model.task, validation)
    retrain(model, digits_context(trained(), log=log), SETTINGS.model_copy(update={"epochs": 3}))
    assert measured[-1] == score(model.network, model.task, validation)
    assert measured[-1] >= min(before + 1, 95)
    assert np.unique(model.codes("fc1.weight").codes).size <= max(2, 2**bits - 1)


def test_shared_weights_stay_shared() -> None:
    """Weights of one value learn as one: the same weights are equal afterwards, at other values."""
    model = trained().copy()
    target = parameter(model.network, "fc1.weight")
    places = np.digitize(target.numpy(), [-0.05, -0.01, 0.01, 0.05])
    target.set_value(np.array([-0.08, -0.03, 0, 0.03, 0.08], np.float32)[places])
    model = model.with_edits(Share(layer="fc1", bits=3))
    retrain(model, digits_context(trained()), SETTINGS)
    values, found = np.unique(parameter(model.network, "fc1.weight").numpy(), return_inverse=True)
    assert np.array_equal(found.reshape(places.shape), places)
    assert not np.isin(values, np.array([-0.08, -0.03, 0.03, 0.08], np.float32)).any()


@pytest.mark.parametrize("loss", ["plain", "distilled"])
def test_recovery_trains_from_either_loss(loss: Any) -> None:
    """Both losses change the model, and differently from none."""
    model = masked_model()
    before = model.digest()
    recovery = Recovery(recovery_epochs=1, recovery_loss=loss, recovery_batch_size=64)
    assert recovery.recover(model, digits_context(trained())).digest() != before


def test_no_epochs_leave_the_model_alone() -> None:
    """With 0 epochs of recovery nothing is trained."""
    model = masked_model()
    before = model.digest()
    assert Recovery(recovery_epochs=0).recover(model, digits_context(trained())).digest() == before
