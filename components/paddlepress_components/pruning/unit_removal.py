"""How far a network is to be cut, which of its groups can be, and what is left of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from paddle import nn

from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.core.progress import Progress
from paddlepress.network.layer_kinds import weighted_layers
from paddlepress.surgery.budget import Budget, Worth, reach
from paddlepress.surgery.graph import narrow_all
from paddlepress.surgery.groups import Graph, Group
from paddlepress.surgery.kernel_times import Kernels
from paddlepress_components.pruning import activation_importance, gradient_importance, weight_importance
from paddlepress_components.pruning.unit_selection import KeptUnits, Scope, best, choose_units, kept_after
from paddlepress_components.pruning.weight_importance import Scores
from paddlepress_components.width_fields import AUTO, RoundTo

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.techniques import Context

_OF_WEIGHTS = {
    "l1": weight_importance.l1,
    "l2": weight_importance.l2,
    "geometric-median": weight_importance.geometric_median,
    "batch-norm": weight_importance.batch_norm,
}
_OF_GRADIENTS = {"taylor": gradient_importance.taylor, "output-gradient": gradient_importance.output_gradient}


def score(criterion: str, model: Model, groups: Sequence[Group], context: Context, batches: int) -> Scores:
    """How important each unit of some groups is.

    Args:
        criterion: a name of one.
        model, groups: whose.
        context: training data and seed for what looks at gradients, calibration data for what looks at activations.
        batches: of training data that are looked at.

    Raises:
        TechniqueRefused: the criterion has no meaning on a group.
    """
    if criterion in _OF_WEIGHTS:
        return _OF_WEIGHTS[criterion](model.network, groups)
    if criterion in _OF_GRADIENTS:
        return _OF_GRADIENTS[criterion](model, groups, context.train, batches=batches, seed=context.seed)
    return activation_importance.activity(model.network, groups, context.calibration)


def candidates(network: nn.Layer, graph: Graph, kinds: Collection[str], exclude: Sequence[str]) -> list[Group]:
    """The groups that may be cut.

    Args:
        network, graph: the graph is the network's.
        kinds: of groups, in the order in which they are named in errors.
        exclude: patterns over names of layers and groups; a group of which one layer is excluded stays whole.

    Raises:
        UsageError: a pattern that matches nothing.
        TechniqueRefused: no group is left.
    """
    known = {name: None for group in graph.groups for name in (group.name, *group.producers)}
    names = [*weighted_layers(network), *known]
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            listed = ", ".join(dict.fromkeys(names)) or "none"
            raise UsageError(f"exclude: {pattern!r} matches no layer. Layers: {listed}")
    found = [
        group
        for group in graph.groups
        if group.kind in kinds
        and not any(fnmatchcase(name, pattern) for name in (group.name, *group.producers) for pattern in exclude)
    ]
    if not found:
        could = ", ".join(f"{group.name} ({group.kind})" for group in graph.groups) or "none"
        raise TechniqueRefused(
            f"no {' or '.join(kinds)} can be removed from this network. Groups that could shrink: {could}"
        )
    return found


class Target:
    """What is to be left of a network in the end.

    Args:
        model, graph, groups: before the first cut.
        ratio: share of the units to remove.
        macs, latency: share of the multiply-accumulates, or of the estimated time, to keep; one of them may
            take the place of `ratio`.
        scope: see `choose_units`.
        round_to: of how many units each layer keeps a multiple; `auto` for what the kernels ask for.
        kernels: of the processor that the network will run on.

    Attributes:
        units: group name -> how many it had before.
        macs: multiply-accumulates before; 0 where they can't be counted.
    """

    def __init__(
        self,
        model: Model,
        graph: Graph,
        groups: Sequence[Group],
        *,
        ratio: float,
        macs: float | None,
        latency: float | None,
        scope: Scope,
        round_to: RoundTo,
        kernels: Kernels,
    ) -> None:
        self.units = {group.name: group.units for group in groups}
        self.macs = _total(model, graph)
        self._ratio, self._macs, self._latency, self._scope = ratio, macs, latency, scope
        self._round_to, self._kernels = round_to, kernels
        self._time = 0.0 if latency is None else Budget(model, graph, kernels).total
        self._touched = {group.name: sum(bool(part.direction) for part in group.slices) for group in groups}
        self._multiples = {group.name: multiple(group, round_to, kernels) for group in groups}

    def keep(self, model: Model, graph: Graph, scores: Scores, step: int = 1, steps: int = 1) -> KeptUnits:
        """The units that stay in one of several steps; groups that stay whole are left out.

        Args:
            model, graph, scores: as they are before this step.
            step: from 1 to `steps`; after the last one the target is reached.

        Raises:
            TechniqueRefused: the last step can't reach the target.
        """
        last = step == steps
        least = 1 if last else 2  # a group of a single unit is none any more, and could not be cut further
        share = self._macs or self._latency
        if share is None:
            ratio = 1 - kept_after(step, steps, 1 - self._ratio)
            keep = choose_units(scores, ratio, self._scope, self._multiples, units=self.units, least=least)
        else:
            keep = self._within(model, graph, scores, kept_after(step, steps, share), least, last)
        return {name: kept for name, kept in keep.items() if len(kept) < len(scores[name])}

    def _within(self, model: Model, graph: Graph, scores: Scores, share: float, least: int, last: bool) -> KeptUnits:
        time = Budget(model, graph, self._kernels)
        budget = Budget(model, graph) if self._latency is None else time
        if budget.total == 0:
            raise TechniqueRefused(f"the network has no layer whose {budget.what} could be counted")
        share = min(1.0, share * (self._time or self.macs) / budget.total)
        refused: TechniqueRefused | None = None
        for multiples in self._ways():

            def chosen(ratio: float, up: bool = True, multiples: Mapping[str, int] = multiples) -> KeptUnits:
                return choose_units(scores, ratio, self._scope, multiples, least=least, up=up)

            try:
                return reach(
                    budget,
                    chosen,
                    share,
                    below=lambda ratio, chosen=chosen: chosen(ratio, up=False),  # type: ignore[misc]
                    worth=self._worth([time] if budget is time else [time, budget], scores),
                    best=(lambda name, count: best(scores[name], count)) if self._round_to == AUTO else None,
                )
            except TechniqueRefused as error:
                refused = error
        if last and refused is not None:
            raise refused
        return {}  # too coarse for a step on the way; the next one makes up for it

    def _ways(self) -> list[dict[str, int]]:
        """Of what to keep multiples; by `auto` finer ones too, for a budget that can't be met otherwise."""
        if self._round_to != AUTO:
            return [self._multiples]
        return [{name: gcd(own, most) if most else own for name, own in self._multiples.items()} for most in (0, 4, 1)]

    def _worth(self, budgets: Sequence[Budget], scores: Scores) -> Worth:
        """What a smaller group saves, of each budget's total, for the importance that its layers lose.

        A group's share of importance is lost in every layer that makes or reads its units: cutting a residual path
        costs more than cutting a layer inside of a block.
        """

        def worth(keep: KeptUnits, name: str, kept: NDArray[np.int64]) -> float:
            cut = {**keep, name: kept}
            saved = sum((budget.after(keep) - budget.after(cut)) / budget.total for budget in budgets if budget.total)
            total = float(scores[name].sum())
            lost = float(scores[name][keep[name]].sum() - scores[name][kept].sum()) / total if total else 0.0
            return saved / max(lost * self._touched[name], 1e-9)

        return worth

    def refusal(self) -> TechniqueRefused:
        """What to raise where nothing was removed."""
        asked = {"macs": self._macs, "latency": self._latency}
        told = [f"{name} {share:g}" for name, share in asked.items() if share is not None] or [f"ratio {self._ratio:g}"]
        return TechniqueRefused(f"{told[0]} with round_to {self._round_to} removes no filter or unit of any layer")


def multiple(group: Group, round_to: RoundTo, kernels: Kernels) -> int:
    """Of how many units a group should keep a multiple."""
    if round_to != AUTO:
        return round_to
    if group.kind == "heads":
        return 1
    # A unit may be several channels, one of each group of a grouped convolution say.
    each = max((part.indices.shape[1] for part in group.slices if part.direction == "out"), default=1)
    channels = kernels.multiple(group.units * each)
    return channels // gcd(channels, each)


def _total(model: Model, graph: Graph) -> float:
    try:
        return Budget(model, graph).total
    except TechniqueRefused:
        return 0


def tell_fixed(graph: Graph, progress: Progress) -> None:
    """Say which layers stay whole, and why."""
    for layer, reason in graph.fixed.items():
        progress.note(f"{layer} stays whole: it {reason}")


def cut(model: Model, graph: Graph, keep: KeptUnits, target: Target, context: Context, step: int) -> Model:
    """Remove units, and tell what is left: `parameters`, and `macs_share` where it can be counted.

    Args:
        model, graph: before the cut; the model's network is changed.
        keep: the units that stay.
        target: knows how large the network was before the first cut.
        context: told of it.
        step: the number of the cut, under which it is logged.
    """
    for name, kept in keep.items():
        context.progress.note(f"{name}: {len(kept)} of {target.units[name]} kept")
    left = Budget(model, graph).after(keep) if target.macs else 0
    model = narrow_all(model, keep, graph)
    parameters = sum(int(tensor.size) for tensor in model.network.parameters())
    context.log("parameters", float(parameters), step)
    text = f"{parameters:,} parameters"
    if target.macs:
        context.log("macs_share", left / target.macs, step)
        text += f", {left / target.macs:.1%} of the multiply-accumulates"
    context.progress.note(f"left: {text}")
    return model
