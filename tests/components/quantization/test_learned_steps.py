from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.network.edits import Mask, Quantize, parameter
from paddlepress.network.grids import largest_code
from paddlepress.testing import digits, trained
from paddlepress_components.quantization.learned_steps import LearnedSteps, first_steps


def defined(weight: np.ndarray, factor: np.ndarray, first: np.ndarray, levels: int, bits: int, g: np.ndarray) -> Any:
    """The gradients of sum(g * rounded weight), by Paddle, of rounding that passes gradients straight through."""
    w, f = paddle.to_tensor(weight, stop_gradient=False), paddle.to_tensor(factor, stop_gradient=False)
    step = f * paddle.to_tensor(first)
    if bits == 1:
        signs = paddle.to_tensor(np.where(weight < 0, -1, 1).astype(np.float32))
        rounded = signs * step + (w - w.detach())
    else:
        clipped = paddle.clip(w / step, -levels, levels)
        rounded = (clipped + (paddle.round(clipped) - clipped).detach()) * step
    (rounded * paddle.to_tensor(g)).sum().backward()
    return w.grad.numpy(), f.grad.numpy(), rounded.numpy()


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize(("layer", "axis"), [("conv2", 0), ("fc1", 1), ("fc1", None)])
def test_gradients_are_those_of_the_definition(bits: Any, layer: str, axis: int | None) -> None:
    """Weights and steps get the gradients of clip(round(w / s)) * s with rounding passed through, steps damped."""
    model = trained().copy()
    edit = Quantize(layer=layer, bits=bits, axis=axis)
    target = parameter(model.network, edit.parameter)
    weight = target.numpy()
    steps = LearnedSteps(model, [edit])
    factor = next(iter(steps.auxiliary.parameters()))
    shape = factor.shape
    factor.set_value(np.random.default_rng(0).uniform(0.3, 1.2, shape).astype(np.float32))
    steps.before_pass()
    seen = target.numpy()
    model.network(paddle.to_tensor(digits().split("train").inputs[:32])).square().sum().backward()
    g = target.grad.numpy()
    steps.after_pass()
    assert np.array_equal(target.numpy(), weight)
    first = first_steps(weight, edit).reshape(shape)
    levels = largest_code(bits)
    expected, of_factor, rounded = defined(weight, factor.numpy(), first, levels, bits, g)
    assert np.allclose(seen, rounded, atol=1e-6)
    # A weight within rounding of the grid's last code may be taken for either side of it.
    scaled = np.abs(weight / (first * factor.numpy()))
    sure = np.abs(scaled - levels) > 1e-4
    assert np.allclose(target.grad.numpy()[sure], expected[sure], rtol=1e-5, atol=1e-8)
    damping = 1 / np.sqrt(weight.size / factor.size * levels)
    summands = np.abs(g * first).sum()  # of both signs: the sum's rounding is measured by them
    assert np.allclose(factor.grad.numpy(), of_factor * damping, rtol=1e-3, atol=1e-5 * summands * damping)
    assert (np.abs(of_factor) > 1e-4 * summands).any()
    if bits > 1:
        assert (target.grad.numpy()[scaled > levels + 1e-4] == 0).all()


def test_first_steps_are_the_papers() -> None:
    """2 <|w|> / sqrt(Q), the mean magnitude at 1 bit, of weights that are not zero; 1 for nothing but zeros."""
    weight = np.array([[1, -3, 0, 0], [0, 0, 0, 0]], np.float32)
    assert first_steps(weight, Quantize(layer="x", bits=4, axis=0)) == pytest.approx([4 / np.sqrt(7), 1])
    assert first_steps(weight, Quantize(layer="x", bits=1)) == pytest.approx([2])
    assert first_steps(weight, Quantize(layer="x", bits=8, reduce_range=True)) == pytest.approx([4 / np.sqrt(63)])


def test_steps_stay_above_zero() -> None:
    """A step that an update took below zero is set back above it."""
    model = trained().copy()
    steps = LearnedSteps(model, [Quantize(layer="fc2", bits=4, axis=1)])
    next(iter(steps.auxiliary.parameters())).set_value(np.full([1, 10], -0.5, np.float32))
    steps.after_step(1, 10)
    assert (steps.scales()["fc2.weight"] > 0).all()


def test_what_nobody_learns_from_gets_no_gradient() -> None:
    """Entering and leaving for evaluation leaves weights as they were, and no gradients behind."""
    model = trained().copy()
    steps = LearnedSteps(model, [Quantize(layer="fc1", bits=2)])
    before = model.digest()
    steps.before_pass()
    assert np.unique(parameter(model.network, "fc1.weight").numpy()).size == 3
    steps.after_pass()
    assert model.digest() == before
    assert all(found.grad is None for found in steps.auxiliary.parameters())


def test_pruned_weights_are_zero_at_one_bit() -> None:
    """A masked weight has no sign, and the others share a step that is their mean magnitude."""
    model = trained().copy()
    target = parameter(model.network, "fc1.weight")
    weight = target.numpy()
    weight[np.abs(weight) < np.median(np.abs(weight))] = 0
    target.set_value(weight)
    steps = LearnedSteps(model.with_edits(Mask(parameters=("fc1.weight",))), [Quantize(layer="fc1", bits=1)])
    steps.before_pass()
    seen = target.numpy()
    assert np.array_equal(seen == 0, weight == 0)
    assert np.abs(seen[weight != 0]) == pytest.approx(np.abs(weight[weight != 0]).mean(), rel=1e-5)
    steps.after_pass()
