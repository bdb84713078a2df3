"""Which units stay, given what each is worth."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress_components.pruning.unit_selection import Scope, choose_units, kept_after, lengths

SIZES = st.dictionaries(st.sampled_from("abcd"), st.integers(2, 40), min_size=1)
SCOPES = st.sampled_from(["layer", "global"])


def scored(sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.exponential(1 + ord(name), size) for name, size in sizes.items()}


def test_a_share_of_each_group_goes_least_important_first() -> None:
    """Per layer, the least important units go, and those that stay keep their order."""
    keep = choose_units({"a": np.array([3.0, 1, 2, 4]), "b": np.array([1.0, 2])}, 0.5, "layer")
    assert {name: kept.tolist() for name, kept in keep.items()} == {"a": [0, 3], "b": [1]}


def test_globally_an_unimportant_layer_loses_more_but_never_all() -> None:
    """Global choice takes from where importance is unequal, and leaves each group a unit."""
    scores = {"flat": np.ones(8), "steep": np.array([8.0] + [0.0] * 7)}
    keep = choose_units(scores, 7 / 16, "global")
    assert len(keep["flat"]) == 8
    assert keep["steep"].tolist() == [0]


def test_kept_units_are_a_multiple() -> None:
    """With round_to, each group keeps the next multiple above, or everything it has."""
    scores = {"a": np.arange(10.0), "b": np.arange(3.0)}
    assert [len(kept) for kept in choose_units(scores, 0.5, "layer", 4).values()] == [8, 3]


@given(SIZES, st.floats(0, 1), SCOPES, st.integers(1, 9), st.integers(0, 9))
def test_the_best_stay(sizes: dict[str, int], ratio: float, scope: Scope, round_to: int, seed: int) -> None:
    """Of each group the most important units stay, at least one, in order, a multiple or all."""
    scores = scored(sizes, seed)
    for name, kept in choose_units(scores, ratio, scope, round_to).items():
        assert 1 <= len(kept) <= sizes[name]
        assert len(kept) % round_to == 0 or len(kept) == sizes[name]
        assert np.all(np.diff(kept) > 0)
        lost = np.delete(scores[name], kept)
        assert lost.size == 0 or lost.max() <= scores[name][kept].min()


@given(SIZES, st.floats(0.05, 0.95), st.integers(0, 9))
def test_globally_the_share_of_all_goes(sizes: dict[str, int], ratio: float, seed: int) -> None:
    """All groups together lose the share that was asked, but for the last unit of each."""
    keep = choose_units(scored(sizes, seed), ratio, "global")
    units = sum(sizes.values())
    assert sum(len(kept) for kept in keep.values()) == max(units - round(ratio * units), len(sizes))


@given(SIZES, st.floats(0.05, 0.95), SCOPES, st.integers(1, 9), st.integers(2, 6), st.integers(0, 9))
def test_steps_end_where_one_step_does(
    sizes: dict[str, int], ratio: float, scope: Scope, round_to: int, steps: int, seed: int
) -> None:
    """However often units are scored again on the way, as many are left in the end as one step leaves."""
    scores = scored(sizes, seed)
    for step in range(1, steps + 1):
        share = 1 - kept_after(step, steps, 1 - ratio)
        least = 1 if step == steps else 2
        keep = choose_units(scores, share, scope, round_to, units=sizes, least=least)
        left = {name: len(kept) for name, kept in keep.items()}
        assert all(left[name] <= len(scores[name]) for name in sizes)
        scores = scored(left, seed + step)
    once = {name: len(kept) for name, kept in choose_units(scored(sizes, seed), ratio, scope, round_to).items()}
    if scope == "layer":
        assert left == once
    elif round_to == 1:
        assert sum(left.values()) == sum(once.values())


@given(st.integers(1, 50), st.integers(1, 9))
def test_training_is_parted_among_the_steps(epochs: int, steps: int) -> None:
    """All epochs are spent, half of them after the last cut where there are several."""
    parts = lengths(epochs, steps)
    assert len(parts) == steps
    assert sum(parts) == epochs
    assert parts[-1] == (epochs if steps == 1 else Fraction(epochs, 2))


def test_each_step_removes_the_same_share_of_what_is_left() -> None:
    """Three steps to an eighth halve three times."""
    assert [kept_after(step, 3, 0.125) for step in (1, 2, 3)] == pytest.approx([0.5, 0.25, 0.125])
