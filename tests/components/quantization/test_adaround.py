"""Rounding up or down, as it is learned."""

from __future__ import annotations

import numpy as np
import paddle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress.network.grids import fit_scale, largest_code, quantize_weight
from paddlepress_components.quantization.adaround import Settings, adaround, annealed, neighbours

weights = hn.arrays(np.float32, (4, 3), elements=st.floats(-2, 2, width=32))
QUICK = Settings(steps=5, batch_size=8)


def dense(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    return x @ weight


def learned(
    weight: np.ndarray, inputs: np.ndarray, bits: int, how: Settings, zeros: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    scale = fit_scale(weight, bits, 1)[None]
    zeros = np.zeros(weight.shape, bool) if zeros is None else zeros
    x = paddle.to_tensor(inputs)
    target = x @ paddle.to_tensor(weight)
    codes = adaround(weight, scale, bits, largest_code(bits), zeros, dense, x, target, weight.shape[1], how)
    return codes, scale


@settings(max_examples=25, deadline=None)
@given(weights, st.sampled_from([8, 4, 2, 1]))
def test_a_weight_takes_one_of_the_codes_around_it(weight: np.ndarray, bits: int) -> None:
    """Codes are one of the two neighbours of the weight on the grid, never further."""
    codes, scale = learned(weight, np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), bits, QUICK)
    lower, gap = neighbours(weight, scale, bits, largest_code(bits))
    assert ((codes == lower) | (codes == lower + gap)).all()
    inside = np.clip(weight / scale, -largest_code(bits), largest_code(bits))
    assert (np.abs(codes - inside) <= gap).all()


def test_outputs_change_less_than_with_nearest_codes() -> None:
    """On inputs that go together the learned codes leave half of the error."""
    random = np.random.default_rng(0)
    inputs = (random.normal(size=(256, 4)) @ random.normal(size=(4, 32))).astype(np.float32)
    weight = random.normal(size=(32, 6)).astype(np.float32)
    codes, scale = learned(weight, inputs, 4, Settings(steps=1000, batch_size=32))
    nearest = quantize_weight(weight, 4, 1).values()
    errors = [np.square(inputs @ (found - weight)).mean() for found in (codes * scale, nearest)]
    assert errors[0] < 0.5 * errors[1]


def test_given_zeros_stay() -> None:
    """A pruned weight has the code 0 at every number of bits."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(8, 4)).astype(np.float32)
    zeros = random.random(weight.shape) < 0.5
    for bits in (4, 1):
        codes, _ = learned(
            np.where(zeros, 0, weight), random.normal(size=(16, 8)).astype(np.float32), bits, QUICK, zeros
        )
        assert not codes[zeros].any()
        assert bits > 1 or codes[~zeros].all()


def test_the_exponent_falls_after_a_warm_up() -> None:
    """For a fifth of the steps weights are free to move; then the exponent falls from 20 towards 2."""
    found = [annealed(step, 100) for step in range(100)]
    assert found[:20] == [None] * 20
    rest = [value for value in found[20:] if value is not None]
    assert rest[0] == 20
    assert 2 < rest[-1] < 2.5
    assert rest == sorted(rest, reverse=True)
