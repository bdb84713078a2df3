"""The best choice within a budget."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress_components.quantization.knapsack import UNITS, solve_knapsack

options = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1000).map(float)), min_size=1, max_size=4)
Items = list[list[tuple[int, float]]]


def total(items: Items, chosen: tuple[int, ...] | list[int]) -> tuple[int, float]:
    picked = [found[index] for found, index in zip(items, chosen, strict=True)]
    return sum(size for size, _ in picked), sum(damage for _, damage in picked)


def best(items: Items, budget: int) -> float | None:
    """The least damage, by trying all."""
    every = [total(items, chosen) for chosen in itertools.product(*(range(len(found)) for found in items))]
    return min((damage for size, damage in every if size <= budget), default=None)


def split(items: Items) -> tuple[list[list[int]], list[list[float]]]:
    return [[size for size, _ in found] for found in items], [[damage for _, damage in found] for found in items]


@given(st.lists(options, min_size=1, max_size=4), st.integers(0, 200))
def test_the_choice_is_the_best_of_all(items: Items, budget: int) -> None:
    """As good as trying every combination, and None exactly where none fits."""
    chosen, least = solve_knapsack(*split(items), budget), best(items, budget)
    if chosen is None:
        assert least is None
    else:
        size, damage = total(items, chosen)
        assert size <= budget
        assert damage == pytest.approx(least)


@given(st.lists(options, min_size=1, max_size=4), st.integers(0, 200), st.integers(1000, 10_000))
def test_a_large_budget_is_kept_and_used(items: Items, budget: int, factor: int) -> None:
    """In coarse steps the choice stays within the budget, and is as good as the best for a little less."""
    items = [[(size * factor + 1, damage) for size, damage in found] for found in items]
    whole = budget * factor + 2
    chosen = solve_knapsack(*split(items), whole)
    less = best(items, whole - len(items) * -(-whole // UNITS))
    if chosen is None:
        assert best(items, whole) is None
    else:
        size, damage = total(items, chosen)
        assert size <= whole
        assert less is None or damage <= less + 1e-9


def test_of_options_that_damage_alike_the_first_is_taken() -> None:
    """So that options in the order of their size cost no bytes for nothing."""
    assert solve_knapsack([[1, 2]], [[0.5, 0.5]], 10) == [0]
