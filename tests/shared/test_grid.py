from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress.grid import input_grid, quantize_weight, round_to_float16

finite = st.floats(-1e4, 1e4, width=32)
weights = hn.arrays(np.float32, hn.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=finite)


@given(weights, st.booleans(), st.sampled_from([None, 0, 1]))
def test_codes_stay_in_range_and_near_their_weights(weight: np.ndarray, reduce: bool, axis: int | None) -> None:
    """Weights are within half a step of their codes, zero is code 0, and codes survive a second look."""
    found = quantize_weight(weight, axis, reduce)
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
    found = quantize_weight(weight, 0)
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
    rounded = round_to_float16(np.array([-1e-12, 0.1], np.float32))
    assert not np.signbit(rounded[0])
    assert rounded[1] == np.float32(np.float16(0.1))
    with pytest.raises(OverflowError, match="65504"):
        round_to_float16(np.array([1e6], np.float32))
