from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress.network.grids import input_grid, quantize_weight, round_to_16_bits

finite = st.floats(-1e4, 1e4, width=32)
weights = hn.arrays(np.float32, hn.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=finite)


@given(weights, st.booleans(), st.sampled_from([None, 0, 1]))
def test_codes_stay_in_range_and_near_their_weights(weight: np.ndarray, reduce: bool, axis: int | None) -> None:
    """Weights are within half a step of their codes, zero is code 0, and codes survive a second look."""
    found = quantize_weight(weight, 8, axis, reduce_range=reduce)
    levels = 63 if reduce else 127
    assert np.abs(found.codes.astype(int)).max() <= levels
    assert (found.scale > 0).all()
    assert not found.codes[weight == 0].any()
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = -1
    step = found.scale.reshape(shape if axis is not None else ())
    assert (np.abs(found.values() - weight) <= step * 0.5001 + 1e-37).all()
    assert np.array_equal(np.rint(found.values() / step).astype(np.int8), found.codes)


def test_a_channel_of_zeros_has_a_scale() -> None:
    """A pruned channel gets a positive scale and zeros."""
    weight = np.array([[0, 0], [1, -2]], np.float32)
    found = quantize_weight(weight, 8, 0)
    assert found.scale[0] == 1
    assert np.array_equal(found.values()[0], [0, 0])


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_zero_is_exact_on_an_input_grid(low: float, high: float) -> None:
    """Zero has a code of its own, and the grid covers the range to half a step."""
    low, high = min(low, high), max(low, high)
    scale, zero_point = input_grid(low, high)
    assert scale > 0
    assert 0 <= zero_point <= 255
    assert -zero_point * scale <= min(low, 0) + 0.51 * scale
    assert (255 - zero_point) * scale >= max(high, 0) - 0.51 * scale


def test_float16_keeps_no_negative_zero_and_no_infinity() -> None:
    """Tiny negatives become +0.0, so that sparse storage sees them; what is too large is refused."""
    rounded = round_to_16_bits(np.array([-1e-12, 0.1], np.float32), "float16")
    assert not np.signbit(rounded[0])
    assert rounded[1] == np.float32(np.float16(0.1))
    with pytest.raises(OverflowError, match="65504"):
        round_to_16_bits(np.array([1e6], np.float32), "float16")


@given(weights, st.sampled_from([4, 2, 1]), st.sampled_from([None, 0, 1]), st.sampled_from([None, 1, 3]))
def test_few_bits(weight: np.ndarray, bits: int, axis: int | None, group: int | None) -> None:
    """Codes keep within their bits and survive a second look at their values; 1 bit has no zero but for zeros."""
    group = group if axis is not None else None
    found = quantize_weight(weight, bits, axis, group)
    assert np.abs(found.codes).max() <= {4: 7, 2: 1, 1: 1}[bits]
    again = quantize_weight(found.values(), bits, axis, group, scale=found.scale, zeros=found.codes == 0)
    assert np.array_equal(again.codes, found.codes)
    if bits == 1 and axis is None and weight.any():
        assert found.codes.all()


@given(weights, st.sampled_from([8, 4, 2]))
def test_the_least_error_is_no_more_than_that_of_the_covering_grid(weight: np.ndarray, bits: int) -> None:
    """Clipping is only chosen where it lowers the squared error."""
    covering, least = (quantize_weight(weight, bits, 0, cover=cover).values() for cover in ("max", "mse"))
    errors = [np.square(found.astype(np.float64) - weight).sum() for found in (least, covering)]
    # A scale is itself rounded to float32, which moves every error by a little of its weight.
    size = float(np.square(weight.astype(np.float64)).sum())
    assert errors[0] <= errors[1] + 1e-6 * np.sqrt(errors[1] * size) + 1e-12 * size


def test_a_pruned_weight_has_no_sign() -> None:
    """On a 1-bit grid the weights named stay zero, and the scale is the mean magnitude of the others."""
    weight = np.array([[0, 1, -3, 0]], np.float32)
    found = quantize_weight(weight, 1, 0, zeros=weight == 0)
    assert found.values().tolist() == [[0, 2, -2, 0]]


@given(hn.arrays(np.float32, 20, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_bfloat16_is_the_nearest(value: np.ndarray) -> None:
    """Rounding errs by half a unit in the eighth binary place at most, and is stable."""
    rounded = round_to_16_bits(value, "bfloat16")
    assert (np.abs(rounded - value) <= np.abs(value) * 2.0**-8 + 1e-37).all()
    assert np.array_equal(round_to_16_bits(rounded, "bfloat16"), rounded)


@pytest.mark.parametrize(
    "value", [np.uint32(0xFFFFFFFF), np.uint32(0x7F800001), np.float32(np.inf), np.float32(3.4e38)]
)
def test_what_is_no_bfloat16_number_is_refused(value: np.generic) -> None:
    """Neither a NaN of any bits, nor an infinity, nor a number that would become one, is rounded to something else."""
    weight = np.array([1.0, value.view(np.float32)], np.float32)
    with pytest.raises(OverflowError, match=re.escape(f"a weight of {np.abs(weight).max():g} is beyond bfloat16")):
        round_to_16_bits(weight, "bfloat16")
