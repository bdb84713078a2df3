"""The rank that variational Bayes finds in noise."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress_components.factorization.evbmf import evbmf_rank


@given(st.integers(0, 6), st.sampled_from([(40, 60), (80, 30), (64, 64)]), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_components_are_told_from_noise(rank: int, shape: tuple[int, int], seed: int) -> None:
    """Strong components in unit noise are all found, and nothing else; noise alone has none."""
    random = np.random.default_rng(seed)
    left, _ = np.linalg.qr(random.standard_normal((shape[0], max(rank, 1))))
    right, _ = np.linalg.qr(random.standard_normal((shape[1], max(rank, 1))))
    signal = (left * 60.0) @ right.T if rank else np.zeros(shape)
    assert evbmf_rank(signal + random.standard_normal(shape)) == rank


@given(st.integers(0, 5), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_scale_and_orientation_do_not_matter(rank: int, scale: float) -> None:
    """A matrix, its multiples and its transpose have one rank; without noise it is the exact one."""
    random = np.random.default_rng(rank)
    exact = random.standard_normal((20, rank)) @ random.standard_normal((rank, 31))
    assert evbmf_rank(exact * scale) == rank
    noisy = exact * 10 + random.standard_normal((20, 31))
    assert evbmf_rank(noisy) == evbmf_rank(noisy.T * scale)


def test_dead_channels_are_no_noise() -> None:
    """Rows and columns of zeros change nothing: a kernel with a dead filter is not taken for one without noise."""
    random = np.random.default_rng(0)
    noisy = 4 * random.standard_normal((30, 3)) @ random.standard_normal((3, 50)) + random.standard_normal((30, 50))
    dead = np.zeros((33, 52))
    dead[np.ix_(np.arange(33) % 11 != 5, np.arange(52) % 26 != 7)] = noisy
    assert evbmf_rank(noisy) == evbmf_rank(dead) == 3


def test_small_matrices() -> None:
    """What is too small to tell noise from anything else is taken for noise; nothing has no rank."""
    assert evbmf_rank(np.ones((1, 5))) == 0
    assert evbmf_rank(np.zeros((3, 4))) == 0
    assert evbmf_rank(np.ones((2, 5))) == 1
