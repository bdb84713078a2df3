"""Which ranks layers get: by parameters, by energy, by multiply-accumulates or by variational Bayes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.errors import TechniqueRefused

if TYPE_CHECKING:
    from paddlepress_components.factorization.fields import RankFields

Ranks = tuple[int, ...]
Cost = Callable[[Ranks], int]

_HALVINGS = 60


@dataclass(frozen=True)
class Plan:
    """What a layer's ranks may be, and what they cost.

    Attributes:
        spectra: for each rank the squared singular values that it counts, in descending order.
        parameters, macs: of the factors, by their ranks.
        full_parameters, full_macs: of the layer as it is.
        evbmf: the ranks by variational Bayes.
    """

    spectra: tuple[NDArray[np.float64], ...]
    parameters: Cost
    macs: Cost
    full_parameters: int
    full_macs: int
    evbmf: Callable[[], Ranks]

    def by_energy(self, energy: float) -> Ranks:
        """The smallest ranks that keep a share of each spectrum."""
        return tuple(_rank_of(spectrum, energy) for spectrum in self.spectra)

    def saves(self, ranks: Ranks) -> bool:
        """Whether the factors are fewer numbers, and no more work, than the layer."""
        return min(ranks) >= 1 and self.parameters(ranks) < self.full_parameters and self.macs(ranks) <= self.full_macs


def _rank_of(spectrum: NDArray[np.float64], energy: float) -> int:
    sums = np.cumsum(spectrum)
    return min(int(np.searchsorted(sums, energy * sums[-1])) + 1, len(spectrum)) if sums[-1] > 0 else 1


def choose(fields: RankFields, plans: Mapping[str, Plan], fixed_macs: int) -> dict[str, Ranks]:
    """The ranks of each layer; those of which the factors save nothing are left out.

    Args:
        fields: how to choose.
        plans: by layer name.
        fixed_macs: multiply-accumulates of the layers of the kind that can't be factorized.

    Raises:
        TechniqueRefused: the multiply-accumulates asked for can't be reached.
    """
    if fields.macs is not None:
        chosen = _within_macs(plans, fields.macs, fixed_macs)
    elif fields.energy is not None:
        chosen = {name: plan.by_energy(fields.energy) for name, plan in plans.items()}
    elif fields.evbmf:
        chosen = {name: plan.evbmf() for name, plan in plans.items()}
    else:
        chosen = {name: _largest(plan, plan.full_parameters / fields.ratio) for name, plan in plans.items()}
    return {name: ranks for name, ranks in chosen.items() if plans[name].saves(ranks)}


def _largest(plan: Plan, parameters: float) -> Ranks:
    """The ranks of the most energy whose factors have so many parameters at the most; zeros if none have."""
    ranks: Ranks | None = _search(plan.by_energy, lambda ranks: plan.parameters(ranks) <= parameters)
    return ranks if ranks is not None else (0,) * len(plan.spectra)


def _within_macs(plans: Mapping[str, Plan], share: float, fixed: int) -> dict[str, Ranks]:
    total = fixed + sum(plan.full_macs for plan in plans.values())

    def ranks(energy: float) -> dict[str, Ranks]:
        return {name: plan.by_energy(energy) for name, plan in plans.items()}

    def left(chosen: Mapping[str, Ranks]) -> int:
        costs = [plan.macs(chosen[n]) if plan.saves(chosen[n]) else plan.full_macs for n, plan in plans.items()]
        return fixed + sum(costs)

    found: dict[str, Ranks] | None = _search(ranks, lambda chosen: left(chosen) <= share * total)
    if found is None:
        least = left({name: (1,) * len(plan.spectra) for name, plan in plans.items()}) / total if total else 1.0
        raise TechniqueRefused(
            f"macs {share:g} can't be reached: at rank 1 {least:.3g} of the multiply-accumulates are left, "
            f"{fixed / total if total else 1:.3g} of them in layers that can't be factorized"
        )
    return found


def _search(make: Callable[[float], Any], fits: Callable[[Any], bool]) -> Any:
    """What is made at the highest energy at which it fits; None where nothing fits."""
    low, high = 0.0, 1.0
    best = make(low)
    if not fits(best):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        made = make(middle)
        if fits(made):
            low, best = middle, made
        else:
            high = middle
    return best


def even(length: int) -> NDArray[np.float64]:
    """The spectrum of a rank whose components are worth the same."""
    return np.ones(length, np.float64)
