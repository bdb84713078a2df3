from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress.network.edits import Quantize, parameter
from paddlepress.network.grids import quantize_weight
from paddlepress.network.model import Model
from paddlepress.testing import trained
from paddlepress_components.quantization.straight_through import FollowingScales


def classifier(weight: np.ndarray) -> Model:
    """A model whose `fc2` has a weight [128, 10]."""
    model = trained().copy()
    parameter(model.network, "fc2.weight").set_value(weight)
    return model


def moved(scales: FollowingScales, model: Model, weight: np.ndarray) -> np.ndarray:
    """The scales of `fc2` after training took its weight elsewhere."""
    scales.after_step(0, 2)
    parameter(model.network, "fc2.weight").set_value(weight)
    scales.after_step(1, 2)
    return scales.scales()["fc2.weight"]


@pytest.mark.parametrize(("bits", "axis"), [(8, 1), (8, None), (1, 1), (1, None)])
def test_scales_of_eight_and_one_bits_are_closed_forms(bits: Any, axis: int | None) -> None:
    """8 bits cover the largest magnitude, 1 bit takes the mean magnitude, whatever the scale was before."""
    random = np.random.default_rng(0)
    first, second = (random.normal(0, deviation, (128, 10)).astype(np.float32) for deviation in (1, 0.01))
    model = classifier(first)
    found = moved(FollowingScales(model, [Quantize(layer="fc2", bits=bits, axis=axis)]), model, second)
    over = None if axis is None else 0
    expected = np.abs(second).max(axis=over) / 127 if bits == 8 else np.abs(second).mean(axis=over)
    assert found == pytest.approx(np.atleast_1d(expected), rel=1e-5)


finite = st.floats(-10, 10, width=32)


@given(hn.arrays(np.float32, (128, 10), elements=finite, fill=finite), st.sampled_from([4, 2]), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_following_never_makes_the_grid_fit_worse(weight: np.ndarray, bits: Any, seed: int) -> None:
    """One step of the alternating minimization has no larger squared error than the scale before."""
    start = np.random.default_rng(seed).normal(0, 3, (128, 10)).astype(np.float32)
    model = classifier(start)
    scales = FollowingScales(model, [Quantize(layer="fc2", bits=bits, axis=1)])
    before = scales.scales()["fc2.weight"].copy()
    after = moved(scales, model, weight)
    old, new = (
        np.square(quantize_weight(weight, bits, 1, scale=scale).values().astype(np.float64) - weight).sum(axis=0)
        for scale in (before, after)
    )
    assert (new <= old * (1 + 1e-4) + 1e-6).all()


def test_weights_that_round_to_zero_keep_their_scale() -> None:
    """A channel whose weights shrank below half a step keeps a scale above zero, and the network sees zeros."""
    model = classifier(np.ones((128, 10), np.float32))
    scales = FollowingScales(model, [Quantize(layer="fc2", bits=4, axis=1)])
    before = scales.scales()["fc2.weight"].copy()
    assert np.array_equal(moved(scales, model, np.full((128, 10), 1e-6, np.float32)), before)
    scales.before_pass()
    assert not parameter(model.network, "fc2.weight").numpy().any()
    scales.after_pass()
    assert parameter(model.network, "fc2.weight").numpy().any()
