"""Kernels as chains of smaller ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surgical import Build

from paddlepress.core import compute
from paddlepress.network.edits import FactorizeConv, find
from paddlepress_components.factorization import cp, kernels, tucker
from paddlepress_components.factorization.kernels import Places

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402

from paddlepress_components.factorization.conv import split  # noqa: E402

SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4))
FULL = {  # ranks at which nothing is lost
    "channel-svd": lambda o, i, h, w: (min(o, i * h * w),),
    "spatial": lambda o, i, h, w: (min(i * h, o * w),),
    "tucker2": lambda o, i, h, w: (i, o),
    "cp": lambda o, i, h, w: (o * i * h * w // max(o, i, h, w),),
}


def kernel(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(SIZES, st.sampled_from(sorted(FULL)))
@settings(max_examples=60, deadline=None)
def test_costs_are_those_of_the_weights(shape: tuple[int, int, int, int], method: str) -> None:
    """A plan's parameters are the numbers that the factors have, and its work theirs times the pixels."""
    weight = kernel(shape)
    ranks = FULL[method](*shape)
    plan = kernels.plan(weight, method, Places(7, 7, 7))
    count = sum(value.size for value in kernels.factors(weight, method, ranks).values())
    assert plan.parameters(ranks) == count
    assert plan.macs(ranks) == 7 * count
    assert plan.full.macs == 7 * weight.size


@pytest.mark.parametrize("method", ["channel-svd", "spatial", "tucker2", "cp"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (3, 5), "stride": (2, 1), "padding": (1, 2), "bias_attr": False},
        {"kernel_size": 3, "dilation": 2, "padding": [1, 0, 2, 1]},
        {"kernel_size": (5, 3), "padding": "SAME"},
        {"kernel_size": 2, "stride": 2, "padding": [[0, 0], [0, 0], [1, 0], [0, 1]]},
    ],
)
def test_at_full_rank_a_chain_computes_what_the_convolution_does(
    method: str, arguments: dict[str, Any], build: Build
) -> None:
    """Stride, dilation, every form of padding and the bias are taken over."""
    model = build(lambda: nn.Sequential(nn.Conv2D(4, 6, **arguments), nn.ReLU()), (4, 11, 12))
    layer = find(model.network, "0")
    ranks = FULL[method](*layer.weight.shape)
    x = paddle.to_tensor(kernel((2, 4, 11, 12), 1))
    expected = model.network(x).numpy()
    split(model.network, FactorizeConv(layer="0", method=method, ranks=ranks))
    np.testing.assert_allclose(model.network(x).numpy(), expected, atol=1e-4 * np.abs(expected).max())


@given(SIZES, st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_tucker_of_more_ranks_errs_less(shape: tuple[int, int, int, int], seed: int) -> None:
    """Factors have orthonormal columns; the error falls with the ranks, to none at full ones."""
    weight = kernel(shape, seed)
    errors = []
    for share in (0.3, 0.6, 1.0):
        ranks = tuple(max(1, int(np.ceil(share * size))) for size in shape[:2])
        left, right, core = tucker.tucker2(weight, *ranks)
        np.testing.assert_allclose(left.T @ left, np.eye(ranks[0]), atol=1e-9)
        np.testing.assert_allclose(right.T @ right, np.eye(ranks[1]), atol=1e-9)
        errors.append(np.linalg.norm(weight - np.einsum("abyx,oa,ib->oiyx", core, left, right)))
    assert errors[0] >= errors[1] - 1e-9
    assert errors[1] >= errors[2] - 1e-9
    assert errors[2] < 1e-5


@given(st.integers(1, 3), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_cp_finds_components_that_are_there(rank: int, seed: int) -> None:
    """A sum of few products is found again, with vectors of even norm."""
    random = np.random.default_rng(seed)
    parts = [random.standard_normal((size, rank)) for size in (6, 5, 3, 3)]
    weight = cp.compose(parts)
    found = cp.cp(weight, rank)
    assert np.linalg.norm(cp.compose(found) - weight) < 0.05 * np.linalg.norm(weight)
    norms = np.stack([np.linalg.norm(factor, axis=0) for factor in found])
    np.testing.assert_allclose(norms, np.broadcast_to(norms[:1], norms.shape), rtol=1e-6)


def test_cp_errs_less_with_more_components_that_do_not_cancel() -> None:
    """The error falls with the rank, and the components stay of the kernel's size."""
    weight = kernel((24, 16, 3, 3))
    errors = []
    for rank in (4, 12, 24, 48):
        found = cp.cp(weight, rank)
        errors.append(np.square(weight - cp.compose(found)).sum() / np.square(weight).sum())
        sizes = np.prod([np.linalg.norm(factor, axis=0) for factor in found], axis=0)
        assert np.square(sizes).sum() < 10 * np.square(weight).sum()
    assert all(more > fewer + 0.05 for more, fewer in pairwise(errors))


def test_cp_of_nothing_is_nothing() -> None:
    """A kernel of zeros has factors of zeros."""
    assert not cp.compose(cp.cp(np.zeros((3, 2, 3, 3)), 2)).any()


def test_cp_rank_by_energy_keeps_it() -> None:
    """The rank found keeps the share asked for, as far as factors may save anything."""
    random = np.random.default_rng(0)
    weight = cp.compose([random.standard_normal((size, 3)) for size in (16, 12, 3, 3)])
    rank = kernels.cp_rank(weight, 0.99)
    rest = np.square(weight - cp.compose(cp.cp(weight, rank))).sum()
    assert rest <= 0.01 * np.square(weight).sum()
    assert rank < 10
    assert kernels.cp_rank(kernel((16, 12, 3, 3)), 0.999) == 0  # no rank that saves anything does
