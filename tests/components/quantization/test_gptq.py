"""Rounding with feedback of errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.network.grids import fit_scale, largest_code
from paddlepress_components.quantization.gptq import BLOCK, Rows, gptq


def problem(
    seed: int, bits: Literal[8, 4, 2, 1], group: int | None, columns: int = 24, mixing: int = 6
) -> tuple[Rows, np.ndarray]:
    """Weights of 5 outputs, some of them pruned, and the Hessian of inputs that go together."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(64, mixing)) @ random.normal(size=(mixing, columns))
    inputs += 0.1 * random.normal(size=inputs.shape)
    values = random.normal(size=(5, columns)).astype(np.float32)
    zeros = random.random(values.shape) < 0.2
    values[zeros] = 0
    scales = fit_scale(values, bits, 0, group).reshape(5, -1)
    places = np.arange(columns) // (group or columns)
    refitted = frozenset(places.tolist() if group else ())
    return Rows(values, zeros, scales, places, bits, refitted=refitted), inputs.T @ inputs


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([8, 4, 2, 1]),
    st.sampled_from([None, 5, 8]),
    st.booleans(),
)
def test_no_output_errs_more_than_with_nearest_codes(
    seed: int, bits: Literal[8, 4, 2, 1], group: int | None, by_activity: bool
) -> None:
    """Each output's squared error is at most that of rounding to nearest; codes keep to the grid; zeros stay."""
    rows, hessian = problem(seed, bits, group)
    codes, scales = gptq(rows, hessian, by_activity=by_activity)
    errors = replace(rows, scales=scales).error(codes, hessian)
    nearest = rows.error(rows.nearest(), hessian)
    assert (errors <= nearest * (1 + 1e-9)).all()
    assert np.abs(codes).max() <= largest_code(bits)
    assert not codes[rows.zeros].any()
    if bits == 1:
        assert codes[~rows.zeros].all()


@pytest.mark.parametrize("columns", [24, BLOCK + 40])
@pytest.mark.parametrize("group", [None, 8])
def test_the_error_is_much_smaller_where_inputs_go_together(columns: int, group: int | None) -> None:
    """Later weights make up for earlier ones: with 4 bits less than half of the error is left."""
    rows, hessian = problem(0, 4, group, columns)
    codes, scales = gptq(rows, hessian)
    left = replace(rows, scales=scales).error(codes, hessian).sum()
    assert left < 0.5 * rows.error(rows.nearest(), hessian).sum()


def test_unrelated_inputs_get_nearest_codes() -> None:
    """Where no input tells of another there is nothing to make up for."""
    rows, hessian = problem(0, 4, None)
    codes, _ = gptq(rows, np.diag(np.diag(hessian)))
    assert np.array_equal(codes, rows.nearest())


def test_inputs_that_were_always_zero_do_no_harm() -> None:
    """Weights of an input that calibration data never use are rounded to nearest."""
    rows, hessian = problem(0, 4, None)
    hessian[3] = hessian[:, 3] = 0
    codes, _ = gptq(rows, hessian)
    assert np.array_equal(codes[:, 3], rows.nearest()[:, 3])


def test_a_group_is_fitted_when_it_is_reached() -> None:
    """The first group has the scales of its weights, later ones those of weights that make up for others."""
    rows, hessian = problem(3, 4, 8)
    _, scales = gptq(rows, hessian)
    assert np.array_equal(scales[:, 0], rows.scales[:, 0])
    assert not np.array_equal(scales[:, 1:], rows.scales[:, 1:])
    _, kept = gptq(rows, hessian, by_activity=True)
    assert np.array_equal(kept, rows.scales)
