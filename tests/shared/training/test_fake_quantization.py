from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.network.edits import Mask, Quantize, Share, parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.network.model import Model
from paddlepress.testing import digits, trained
from paddlepress.training.fake_quantization import OnGrid
from paddlepress.training.hooks import passing
from paddlepress.training.shared_values import Tied


def backward(model: Model) -> None:
    """Fill in gradients of some loss."""
    model.network(paddle.to_tensor(digits().split("train").inputs[:16])).square().sum().backward()


def on_grid(edit: Quantize, masked: bool = False) -> tuple[Model, np.ndarray]:
    """A model on a grid, whose weight has left it a little; and that weight."""
    model = trained().copy()
    target = parameter(model.network, edit.parameter)
    weight = target.numpy()
    if masked:
        weight[np.abs(weight) < np.median(np.abs(weight))] = 0
        target.set_value(weight)
        model = model.with_edits(Mask(parameters=(edit.parameter,)))
    put_on_grid(model, edit)
    noise = np.random.default_rng(0).normal(0, 0.02, weight.shape)
    latent = (
        np.where(weight == 0, 0, weight + noise).astype(np.float32) if masked else (weight + noise).astype("float32")
    )
    target.set_value(latent)
    return model.with_edits(edit), latent


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("bits", "axis", "group"), [(8, 1, None), (4, 1, 16), (2, None, None), (1, 1, None)])
def test_the_network_sees_codes_and_the_float_weight_comes_back(
    bits: Any, axis: int | None, group: int | None, masked: bool
) -> None:
    """Within a pass a weight is what quantizing it again would give; its gradient is that of what was seen."""
    model, latent = on_grid(Quantize(layer="fc1", bits=bits, axis=axis, group=group), masked)
    target = parameter(model.network, "fc1.weight")
    again = model.copy()
    put_on_grid(again, model.quantized()["fc1.weight"], model.scales["fc1.weight"])
    with passing(OnGrid(model)):
        assert np.array_equal(target.numpy(), parameter(again.network, "fc1.weight").numpy())
        backward(model)
    assert np.array_equal(target.numpy(), latent)
    backward(again)
    assert np.array_equal(target.grad.numpy(), parameter(again.network, "fc1.weight").grad.numpy())


def test_a_shared_value_learns_from_the_sum_of_its_weights_gradients() -> None:
    """Every weight gets the summed gradient of all that have its value, and values torn apart are joined again."""
    model = trained().copy()
    target = parameter(model.network, "fc1.weight")
    values = np.array([-0.1, 0, 0.02, 0.1], np.float32)
    places = np.digitize(target.numpy(), [-0.03, 0.0, 0.05])
    target.set_value(values[places])
    backward(model)
    alone = target.grad.numpy().astype(np.float64)
    target.clear_grad()
    model = model.with_edits(Share(layer="fc1", bits=2))
    tied = Tied(model)
    with passing(tied):
        backward(model)
    sums = np.bincount(places.reshape(-1), alone.reshape(-1))
    assert np.allclose(target.grad.numpy(), sums[places], rtol=1e-3, atol=1e-3 * np.abs(sums).max())
    target.set_value(target.numpy() * np.random.default_rng(0).uniform(1, 1 + 1e-6, places.shape).astype(np.float32))
    assert np.unique(target.numpy()).size > 4
    tied.tie()
    assert np.unique(target.numpy()).size == 4
