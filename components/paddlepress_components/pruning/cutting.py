"""How far a network is to be cut, which of its groups can be, and what is left of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from paddle import nn

from paddlepress.errors import TechniqueRefused, UsageError
from paddlepress.progress import Progress
from paddlepress.surgery.budget import Budget, reach
from paddlepress.surgery.graph import narrow_all
from paddlepress.surgery.groups import Graph, Group
from paddlepress.weighted import weighted_layers
from paddlepress_components.pruning import activations, gradients, importance
from paddlepress_components.pruning.choosing import Keep, Scope, choose, kept_after
from paddlepress_components.pruning.importance import Scores

if TYPE_CHECKING:
    from paddlepress.model import Model
    from paddlepress.techniques import Context

_OF_WEIGHTS = {
    "l1": importance.l1,
    "l2": importance.l2,
    "geometric-median": importance.geometric_median,
    "batch-norm": importance.batch_norm,
}
_OF_GRADIENTS = {"taylor": gradients.taylor, "output-gradient": gradients.output_gradient}


def score(criterion: str, network: nn.Layer, groups: Sequence[Group], context: Context, batches: int) -> Scores:
    """How important each unit of some groups is.

    Args:
        criterion: a name of one.
        network, groups: whose.
        context: training data and seed for what looks at gradients, calibration data for what looks at activations.
        batches: of training data that are looked at.

    Raises:
        TechniqueRefused: the criterion has no meaning on a group.
    """
    if criterion in _OF_WEIGHTS:
        return _OF_WEIGHTS[criterion](network, groups)
    if criterion in _OF_GRADIENTS:
        return _OF_GRADIENTS[criterion](network, groups, context.train, batches=batches, seed=context.seed)
    return activations.activity(network, groups, context.calibration)


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
        macs: share of the multiply-accumulates to keep, in place of `ratio`.
        scope, round_to: see `choose`.

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
        scope: Scope,
        round_to: int,
    ) -> None:
        self.units = {group.name: group.units for group in groups}
        self.macs = _total(model, graph)
        self._ratio, self._share, self._scope, self._round_to = ratio, macs, scope, round_to

    def keep(self, model: Model, graph: Graph, scores: Scores, step: int = 1, steps: int = 1) -> Keep:
        """The units that stay in one of several steps; groups that stay whole are left out.

        Args:
            model, graph, scores: as they are before this step.
            step: from 1 to `steps`; after the last one the target is reached.

        Raises:
            TechniqueRefused: the last step can't reach the target.
        """
        last = step == steps
        least = 1 if last else 2  # a group of a single unit is none any more, and could not be cut further
        if self._share is None:
            ratio = 1 - kept_after(step, steps, 1 - self._ratio)
            keep = choose(scores, ratio, self._scope, self._round_to, units=self.units, least=least)
        else:
            keep = self._within(model, graph, scores, kept_after(step, steps, self._share), least, last)
        return {name: kept for name, kept in keep.items() if len(kept) < len(scores[name])}

    def _within(self, model: Model, graph: Graph, scores: Scores, share: float, least: int, last: bool) -> Keep:
        now = Budget(model, graph).total
        if now == 0:
            raise TechniqueRefused("the network has no layer whose multiply-accumulates could be counted")

        def chosen(ratio: float) -> Keep:
            return choose(scores, ratio, self._scope, self._round_to, least=least)

        try:
            return reach(model, graph, chosen, min(1.0, share * self.macs / now))
        except TechniqueRefused:
            if last:
                raise
            return {}  # too coarse for a step on the way; the next one makes up for it

    def refusal(self) -> TechniqueRefused:
        """What to raise where nothing was removed."""
        asked = f"ratio {self._ratio:g}" if self._share is None else f"macs {self._share:g}"
        return TechniqueRefused(f"{asked} with round_to {self._round_to} removes no filter or unit of any layer")


def _total(model: Model, graph: Graph) -> int:
    try:
        return Budget(model, graph).total
    except TechniqueRefused:
        return 0


def tell_fixed(graph: Graph, progress: Progress) -> None:
    """Say which layers stay whole, and why."""
    for layer, reason in graph.fixed.items():
        progress.note(f"{layer} stays whole: it {reason}")


def cut(model: Model, graph: Graph, keep: Keep, target: Target, context: Context, step: int) -> Model:
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
