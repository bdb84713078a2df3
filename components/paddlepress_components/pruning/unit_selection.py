"""Which units stay, told from their importance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scope = Literal["layer", "global"]
KeptUnits = dict[str, NDArray[np.int64]]


def choose_units(
    scores: Mapping[str, NDArray[np.float64]],
    ratio: float,
    scope: Scope,
    round_to: int | Mapping[str, int] = 1,
    *,
    units: Mapping[str, int] | None = None,
    least: int = 1,
    up: bool = True,
) -> KeptUnits:
    """Which units each group keeps, in their order.

    Args:
        scores: importance of each unit, by group.
        ratio: share to remove, of each group or, where `scope` is global, of all together. Global scores
            are divided by their group's mean: layers' magnitudes differ more than their units' do.
        scope: how `ratio` is meant.
        round_to: the number kept is rounded to a multiple of this; one number, or one by group.
        units: how many units each group had before any were removed; `ratio` is a share of those, so that
            several steps end where one would. By default those that have a score.
        least: units that every group keeps, rounded as `round_to` says, or all that it has.
        up: whether to round to the next multiple above, not below; a group keeps one multiple at least.
    """
    units = units or {name: len(group) for name, group in scores.items()}
    multiples = dict.fromkeys(scores, round_to) if isinstance(round_to, int) else round_to

    def rounded(counts: Mapping[str, int]) -> dict[str, int]:
        found = {name: max(least, count) for name, count in counts.items()}
        return {name: min(len(scores[name]), _rounded(count, multiples[name], up)) for name, count in found.items()}

    if scope == "layer":
        counts = rounded({name: round(units[name] * (1 - ratio)) for name in scores})
    else:
        counts = _together(scores, sum(units[name] for name in scores), ratio, least, rounded)
    return {name: best(group, counts[name]) for name, group in scores.items()}


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The units of the highest scores, so many of them, in their order."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def _together(
    scores: Mapping[str, NDArray[np.float64]],
    units: int,
    ratio: float,
    least: int,
    rounded: Callable[[Mapping[str, int]], dict[str, int]],
) -> dict[str, int]:
    """How many units each group keeps if the least important of all groups together go.

    Rounding keeps some of those; as many more go as leave the share that was asked for, or the next above.
    """
    names = list(scores)
    sizes = [len(scores[name]) for name in names]
    relative = [np.sort(scores[name] / max(float(scores[name].mean()), 1e-30)) for name in names]
    # The best of each group are no candidates: they stay, whatever the others are worth.
    candidates = [group[: max(0, len(group) - least)] for group in relative]
    owners = np.repeat(np.arange(len(names)), [len(group) for group in candidates])
    order = owners[np.argsort(np.concatenate(candidates), kind="stable")]

    def left(gone: int) -> dict[str, int]:
        lost = np.bincount(order[:gone], minlength=len(names))
        return rounded({name: size - int(count) for name, size, count in zip(names, sizes, lost, strict=True)})

    low = min(max(0, round(ratio * units) - (units - sum(sizes))), len(order))
    wanted, high = sum(sizes) - low, len(order) + 1  # of which too many go
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(left(middle).values()) >= wanted else (low, middle)
    return left(low)


def _rounded(count: int, multiple: int, up: bool) -> int:
    return max(multiple, (-(-count // multiple) if up else count // multiple) * multiple)


def kept_after(step: int, steps: int, kept: float) -> float:
    """The share that is kept after one of several steps, each of which removes the same share of what is left.

    Args:
        step: from 1 to `steps`; after the last one it is exactly `kept`.
        steps: how many there are.
        kept: the share that is kept in the end, above 0 and at most 1.
    """
    return kept if step == steps else kept ** (step / steps)


def lengths(epochs: int, steps: int) -> list[Fraction]:
    """How many epochs of training follow each of several cuts: half of all after the last one.

    Early cuts only need scores that make sense for the next one; the last one has to be recovered from.

    Args:
        epochs: of training in all.
        steps: cuts, at least one.
    """
    if steps == 1:
        return [Fraction(epochs)]
    return [Fraction(epochs, 2 * (steps - 1))] * (steps - 1) + [Fraction(epochs, 2)]
