"""What the techniques that remove whole units have in common: their fields, and the course of their work."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from paddlepress_components.width_fields import WidthFields

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from paddlepress.network.model import Model
    from paddlepress.surgery.groups import Graph, Group
    from paddlepress.training.hooks import Hook
    from paddlepress_components.pruning.unit_removal import Target

GRADUALLY = 10
"""How many times units are chosen during training, unless the field says otherwise."""


class PruneUnits(Technique, WidthFields, Recovery):
    """Removes the least important units of a network, and everything that depends on them."""

    family: ClassVar[Family] = "pruning"

    ratio: Annotated[float, When("macs", None), When("latency", None)] = Field(
        default=0.5, gt=0, lt=1, description="share of the units to remove"
    )
    macs: Annotated[float | None, When("latency", None)] = Field(
        default=None, gt=0, lt=1, description="share of the multiply-accumulates to keep; takes the place of ratio"
    )
    latency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the time to keep, as estimated from measured times of the runtime's kernels with floats; "
        "takes the place of ratio",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer", description="layer removes the same share everywhere; global compares units across layers"
    )
    schedule: Literal["steps", "during-training"] = Field(
        default="steps",
        description="steps: cut, then train, once or in turn; during-training: silence more and more units while "
        "it trains, and cut them out at the end, or halfway where the cut changes the network (a norm spans the "
        "units, or runs of weights share a scale)",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="how many times units are chosen, each time by new scores, to get to the target; "
        f"by default once, and {GRADUALLY} times during training",
    )
    taylor_batches: Annotated[int, When("importance", "taylor", "output-gradient")] = Field(
        default=10, ge=1, le=10_000, description="training batches that taylor and output-gradient look at"
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as conv1")
    recovery_epochs: int = Field(default=2, ge=0, le=10_000, description="epochs of training in all; 0 for none")
    recovery_learning_rate: Annotated[float, When("recovery_epochs", ...)] = Field(
        default=2e-3, gt=0, le=10, description="highest learning rate of that training (Adam)"
    )

    @model_validator(mode="after")
    def _trains_if_it_must(self) -> PruneUnits:
        if self.schedule == "during-training" and self.recovery_epochs == 0:
            raise ValueError("schedule is 'during-training': 'recovery_epochs' must be at least 1")
        return self

    def prune(self, model: Model, context: Context, kinds: Sequence[str], importance: str) -> Model:
        """Cut a model as the fields say.

        Args:
            model: changed in place.
            context: as for `apply`.
            kinds: of the groups to cut.
            importance: the criterion.

        Raises:
            TechniqueRefused: nothing can be cut, the criterion has no meaning, or the target can't be reached.
        """
        from paddlepress.surgery.graph import trace
        from paddlepress.surgery.kernel_times import load
        from paddlepress_components.pruning import unit_removal

        graph = trace(model)
        groups = unit_removal.candidates(model.network, graph, kinds, self.exclude)
        target = unit_removal.Target(
            model,
            graph,
            groups,
            ratio=self.ratio,
            macs=self.macs,
            latency=self.latency,
            scope=self.scope,
            round_to=self.round_to,
            kernels=load(self.processor),
        )
        unit_removal.tell_fixed(graph, context.progress)
        if self.schedule == "during-training":
            return self._while_training(model, context, graph, groups, target, importance)
        return self._in_steps(model, context, graph, target, importance)

    def _in_steps(self, model: Model, context: Context, graph: Graph, target: Target, importance: str) -> Model:
        from paddlepress.surgery.graph import trace
        from paddlepress_components.pruning import unit_removal
        from paddlepress_components.pruning.unit_selection import lengths

        steps = self.steps or 1
        smaller = False
        done = 0
        for step, epochs in enumerate(lengths(self.recovery_epochs, steps), 1):
            graph = graph if step == 1 else trace(model)
            groups = [group for group in graph.groups if group.name in target.units]
            scores = unit_removal.score(importance, model, groups, context, self.taylor_batches)
            keep = target.keep(model, graph, scores, step, steps)
            if keep:
                model = unit_removal.cut(model, graph, keep, target, context, step)
                smaller = True
            elif step == steps and not smaller:
                raise target.refusal()
            model = self._trained(model, context, epochs, step, done) if epochs else model
            done += ceil(epochs)
        return model

    def _trained(
        self,
        model: Model,
        context: Context,
        epochs: Fraction,
        step: int,
        done: int,
        *hooks: Hook,
    ) -> Model:
        """One of several trainings: where that is not whole epochs, each goes over a part of the data only."""
        import numpy as np

        if epochs == self.recovery_epochs:
            return self.recover(model, context, *hooks)
        whole = ceil(epochs)
        train = context.train
        if epochs < whole:
            seed = int(np.random.SeedSequence((context.seed, step)).generate_state(1)[0])
            train = train.take(max(1, round(len(train) * epochs / whole)), seed)
        log = context.log
        context = replace(
            context,
            train=train,
            log=lambda name, value, epoch: log(name, value, done + epoch),
            # Each step has a place of its own: going on after a kill must not overwrite the step it stopped in.
            checkpoint=None if context.checkpoint is None else context.checkpoint / f"step{step}",
        )
        return self.model_copy(update={"recovery_epochs": whole}).recover(model, context, *hooks)

    def _while_training(
        self, model: Model, context: Context, graph: Graph, groups: Sequence[Group], target: Target, importance: str
    ) -> Model:
        """Units fall silent in the first half of the training; then the others settle, and the silent are cut out.

        Where a cut changes the network even so, it has to learn anew: there the cut comes before the second half.
        """
        from paddlepress_components.pruning import unit_removal
        from paddlepress_components.pruning.unit_decay import Silencing
        from paddlepress_components.pruning.unit_selection import lengths

        if model.shared():
            raise TechniqueRefused(
                "weights that share values can't fall silent one unit at a time: choose schedule 'steps'"
            )
        keep = target.keep(model, graph, unit_removal.score(importance, model, groups, context, self.taylor_batches))
        if not keep:
            raise target.refusal()
        cut = [group for group in groups if group.name in keep]
        binary = _without_zero(model, cut)
        if binary:
            raise TechniqueRefused(
                f"the 1-bit weights of {', '.join(binary)} have no zero, so units can't fall silent there: "
                "choose schedule 'steps'"
            )
        before, *after = lengths(self.recovery_epochs, 2 if _changes(model, cut) else 1)
        silencing = Silencing(
            model.network,
            cut,
            {name: len(kept) for name, kept in keep.items()},
            lambda: unit_removal.score(importance, model, cut, context, self.taylor_batches),
            self.steps or GRADUALLY,
            window=1.0 if after else 0.5,
        )
        model = self._trained(model, context, before, 1, 0, silencing)
        model = unit_removal.cut(model, graph, silencing.kept, target, context, 1)
        return self._trained(model, context, after[0], 2, ceil(before)) if after else model


def _changes(model: Model, groups: Sequence[Group]) -> bool:
    """Whether a network computes something else without silent units.

    A norm that spans them takes other statistics, and runs of weights that share a scale are others.
    """
    runs = {name: edit.axis for name, edit in model.quantized().items() if edit.group is not None}
    return any(
        group.mixed or any(part.axis != runs.get(part.parameter, part.axis) for part in group.slices)
        for group in groups
    )


def _without_zero(model: Model, groups: Sequence[Group]) -> list[str]:
    """The layers of some groups, which make or read their units, whose weights can't be zero."""
    weights = {part.parameter for group in groups for part in group.slices} - set(model.masked())
    return [edit.layer for name, edit in model.quantized().items() if edit.bits == 1 and name in weights]
