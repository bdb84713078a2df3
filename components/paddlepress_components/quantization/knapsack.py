"""One choice for each item, of the least damage that a budget allows: the multiple-choice knapsack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNITS = 20_000
"""Steps in which a budget is counted."""


def solve_knapsack(sizes: Sequence[Sequence[int]], damages: Sequence[Sequence[float]], budget: int) -> list[int] | None:
    """Choose for each item one of its options, so that the damages' sum is least and the sizes' sum in the budget.

    By dynamic programming over the budget (Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 11).
    The choice is the best of all up to a budget of `UNITS`; beyond, sizes are rounded up to a `UNITS`-th of the
    budget, so that it is at least as good as the best for a budget smaller by one such step for each item.

    Args:
        sizes: of each item's options, at least 0.
        damages: of each item's options; of options that damage alike the first is taken.
        budget: what the chosen sizes may sum up to.

    Returns:
        The index of each item's option; None if not even the smallest options fit.
    """
    smallest = [int(np.argmin(options)) for options in sizes]
    if sum(options[index] for options, index in zip(sizes, smallest, strict=True)) > budget:
        return None
    unit = max(1, -(-budget // UNITS))
    capacity = budget // unit
    least = np.zeros(capacity + 1)
    taken = []
    for options, harms in zip(sizes, damages, strict=True):
        totals = np.full((len(options), capacity + 1), np.inf)
        for row, size, harm in zip(totals, options, harms, strict=True):
            steps = -(-size // unit)
            if steps <= capacity:
                row[steps:] = least[: capacity + 1 - steps] + harm
        taken.append(totals.argmin(axis=0))
        least = totals.min(axis=0)
    if not np.isfinite(least[capacity]):  # they fit, but not once they are rounded up
        return smallest
    chosen = []
    for options, indices in zip(reversed(sizes), reversed(taken), strict=True):
        chosen.append(int(indices[capacity]))
        capacity -= -(-options[chosen[-1]] // unit)
    return chosen[::-1]
