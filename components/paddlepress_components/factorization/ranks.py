"""Which ranks layers get: by parameters, by energy, by a budget of work or time, or by variational Bayes.

A chain of factors is a longer way through the network: with fewer multiply-accumulates it may well take more time,
where its ranks fill no block of the runtime's kernels, or where maps are so large and channels so few that what is
read and written counts for more than what is computed. So a chain's time is estimated too, see
`paddlepress.surgery.kernel_times`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import TechniqueRefused
from paddlepress.surgery.kernel_times import Kernels, Work, load
from paddlepress_components.width_fields import AUTO

if TYPE_CHECKING:
    from paddlepress_components.factorization.fields import RankFields

Ranks = tuple[int, ...]

_HALVINGS = 60


@dataclass(frozen=True)
class Plan:
    """What a layer's ranks may be, and what they cost.

    Attributes:
        spectra: for each rank the squared singular values that it counts, in descending order.
        chain: what the factors compute, one after another, by their ranks.
        full: what the layer as it is computes.
        evbmf: the ranks by variational Bayes.
    """

    spectra: tuple[NDArray[np.float64], ...]
    chain: Callable[[Ranks], Sequence[Work]]
    full: Work
    evbmf: Callable[[], Ranks]

    def by_energy(self, energy: float) -> Ranks:
        """The smallest ranks that keep a share of each spectrum."""
        return tuple(_rank_of(spectrum, energy) for spectrum in self.spectra)

    def parameters(self, ranks: Ranks) -> int:
        """Numbers in the factors."""
        return sum(work.parameters for work in self.chain(ranks))

    def macs(self, ranks: Ranks) -> int:
        """Multiply-accumulates of the factors."""
        return sum(work.macs for work in self.chain(ranks))

    def nanoseconds(self, ranks: Ranks, kernels: Kernels) -> float:
        """About how long the factors take."""
        return sum(kernels.nanoseconds(work) for work in self.chain(ranks))

    def saves(self, ranks: Ranks) -> bool:
        """Whether the factors are fewer numbers, and no more work, than the layer."""
        return min(ranks) >= 1 and self.parameters(ranks) < self.full.parameters and self.macs(ranks) <= self.full.macs

    def pays(self, ranks: Ranks, kernels: Kernels) -> bool:
        """Whether the factors save something, and take less time than the layer too."""
        return self.saves(ranks) and self.nanoseconds(ranks, kernels) < kernels.nanoseconds(self.full)

    def lost(self, ranks: Ranks) -> float:
        """The share of the energy that ranks leave out, summed over the spectra."""
        shares = [
            1 - spectrum[:rank].sum() / spectrum.sum() for spectrum, rank in zip(self.spectra, ranks, strict=True)
        ]
        return float(np.nan_to_num(sum(shares)))


def _rank_of(spectrum: NDArray[np.float64], energy: float) -> int:
    sums = np.cumsum(spectrum)
    return min(int(np.searchsorted(sums, energy * sums[-1])) + 1, len(spectrum)) if sums[-1] > 0 else 1


def choose_ranks(fields: RankFields, plans: Mapping[str, Plan], fixed: Sequence[Work] = ()) -> dict[str, Ranks]:
    """The ranks of each layer; those of which the factors save nothing are left out.

    Args:
        fields: how to choose.
        plans: by layer name.
        fixed: what the layers of the kind compute that can't be factorized.

    Raises:
        TechniqueRefused: the multiply-accumulates, or the time, asked for can't be reached.
    """
    kernels = load(fields.processor)
    steps = {name: multiples(fields, plan, kernels) for name, plan in plans.items()}
    if fields.macs is not None or fields.latency is not None:
        return _within(fields, plans, steps, fixed, kernels)
    if fields.energy is not None:
        chosen = {name: up(plan, plan.by_energy(fields.energy), steps[name]) for name, plan in plans.items()}
    elif fields.evbmf:
        chosen = {name: up(plan, plan.evbmf(), steps[name]) for name, plan in plans.items()}
    else:
        largest = {name: _largest(plan, plan.full.parameters / fields.ratio) for name, plan in plans.items()}
        chosen = {name: down(ranks, steps[name]) for name, ranks in largest.items()}
    return {name: ranks for name, ranks in chosen.items() if worthwhile(fields, plans[name], ranks, kernels)}


def multiples(fields: RankFields, plan: Plan, kernels: Kernels) -> Ranks:
    """Of how many each rank of a layer is to be a multiple."""
    return tuple(
        kernels.multiple(len(spectrum)) if fields.round_to == AUTO else fields.round_to for spectrum in plan.spectra
    )


def worthwhile(fields: RankFields, plan: Plan, ranks: Ranks, kernels: Kernels) -> bool:
    """Whether a layer is to have factors of these ranks."""
    return plan.pays(ranks, kernels) if fields.round_to == AUTO else plan.saves(ranks)


def up(plan: Plan, ranks: Ranks, steps: Ranks) -> Ranks:
    """The next multiples above, or the largest ranks; no rank stays none."""
    return tuple(
        min(len(spectrum), -(-rank // step) * step)
        for spectrum, rank, step in zip(plan.spectra, ranks, steps, strict=True)
    )


def down(ranks: Ranks, steps: Ranks) -> Ranks:
    """The next multiples below; a rank below the first one stays as it is."""
    return tuple(rank // step * step or rank for rank, step in zip(ranks, steps, strict=True))


def _largest(plan: Plan, parameters: float) -> Ranks:
    """The ranks of the most energy whose factors have so many parameters at the most; zeros if none have."""
    low, high = 0.0, 1.0
    best = plan.by_energy(low)
    if plan.parameters(best) > parameters:
        return (0,) * len(plan.spectra)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        made = plan.by_energy(middle)
        low, high, best = (middle, high, made) if plan.parameters(made) <= parameters else (low, middle, best)
    return best


@dataclass(frozen=True)
class _Options:
    """What may become of a layer, the layer as it is first.

    Attributes:
        ranks: of each option; empty for the layer as it is.
        lost: share of the energy.
        macs, time: as shares of those of all layers together.
    """

    ranks: tuple[Ranks, ...]
    lost: NDArray[np.float64]
    macs: NDArray[np.float64]
    time: NDArray[np.float64]


def _within(
    fields: RankFields, plans: Mapping[str, Plan], steps: Mapping[str, Ranks], fixed: Sequence[Work], kernels: Kernels
) -> dict[str, Ranks]:
    """The ranks of the least loss within a budget.

    Those that take less time come first; where they don't save enough multiply-accumulates, any that do.
    """
    timed = fields.macs is None
    share = float(fields.macs or fields.latency or 0.0)
    works = [*fixed, *(plan.full for plan in plans.values())]
    totals = max(1, sum(work.macs for work in works)), max(1.0, sum(kernels.nanoseconds(work) for work in works))
    stays = sum(work.macs for work in fixed) / totals[0], sum(kernels.nanoseconds(work) for work in fixed) / totals[1]
    ones = {name: (1,) * len(plan.spectra) for name, plan in plans.items()}

    def paying(plan: Plan, ranks: Ranks) -> bool:
        return plan.pays(ranks, kernels)

    ways: list[tuple[Mapping[str, Ranks], Callable[[Plan, Ranks], bool]]] = [(steps, Plan.saves)]
    if fields.round_to == AUTO:
        ways = [(steps, paying)] if timed else [(steps, paying), (steps, Plan.saves), (ones, Plan.saves)]
    least = 1.0
    for multiple, fits in ways:
        options = {name: _options(plan, multiple[name], fits, kernels, totals) for name, plan in plans.items()}
        costs = {name: found.time if timed else found.macs for name, found in options.items()}
        least = stays[timed] + sum(float(cost.min()) for cost in costs.values())
        if least <= share:
            return _cheapest(options, costs, share - stays[timed], timed)
    what = "estimated time" if timed else "multiply-accumulates"
    raise TechniqueRefused(
        f"{'latency' if timed else 'macs'} {share:g} can't be reached: at {'the lowest ranks' if timed else 'rank 1'} "
        f"{least:.3g} of the {what} is left, {stays[timed]:.3g} of it in layers that can't be factorized"
    )


def _options(
    plan: Plan,
    steps: Ranks,
    fits: Callable[[Plan, Ranks], bool],
    kernels: Kernels,
    totals: tuple[float, float],
) -> _Options:
    sums = [np.cumsum(spectrum) / max(float(spectrum.sum()), 1e-30) for spectrum in plan.spectra]
    energies = np.unique(np.concatenate([[0.0], *sums]))
    found = dict.fromkeys(up(plan, plan.by_energy(energy), steps) for energy in energies)
    kept = [ranks for ranks in found if fits(plan, ranks)]
    macs = [plan.full.macs, *(plan.macs(ranks) for ranks in kept)]
    time = [kernels.nanoseconds(plan.full), *(plan.nanoseconds(ranks, kernels) for ranks in kept)]
    lost = [0.0, *(plan.lost(ranks) for ranks in kept)]
    return _Options(((), *kept), np.array(lost), np.array(macs) / totals[0], np.array(time) / totals[1])


def _cheapest(
    options: Mapping[str, _Options], costs: Mapping[str, NDArray[np.float64]], most: float, timed: bool
) -> dict[str, Ranks]:
    """An option for each layer, within a budget, that together lose little.

    By a Lagrange multiplier, which finds the best of the budgets that it can meet exactly; what is left of the budget
    then goes to the layers that gain most by it.
    """

    def picked(price: float) -> dict[str, int]:
        """What each layer takes if a share of the work, and of the time, costs so much loss."""
        return {
            name: int(np.argmin(found.lost + price * (found.time + (0 if timed else found.macs))))
            for name, found in options.items()
        }

    def cost(chosen: Mapping[str, int]) -> float:
        return float(sum(costs[name][index] for name, index in chosen.items()))

    low, high = -9.0, 9.0  # powers of ten
    best = {name: int(np.argmin(found)) for name, found in costs.items()}
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = picked(10.0**middle)
        if cost(found) <= most:
            high, best = middle, found
        else:
            low = middle
    while True:
        room = most - cost(best)
        gains = [
            (float(one.lost[best[name]] - one.lost[index]), name, int(index))
            for name, one in options.items()
            for index in np.flatnonzero(costs[name] - costs[name][best[name]] <= room)
        ]
        gain, name, index = max(gains, default=(0.0, "", 0))
        if gain <= 0:
            break
        best[name] = index
    return {name: options[name].ranks[index] for name, index in best.items() if index}


def even(length: int) -> NDArray[np.float64]:
    """The spectrum of a rank whose components are worth the same."""
    return np.ones(length, np.float64)
