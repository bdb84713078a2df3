"""The technique `prune-filters`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from paddlepress.model import Model


class PruneFilters(Technique, Recovery):
    """Remove the least important filters of convolutions, and all that depended on them.

    The network gets really smaller: a removed filter takes its bias, its norm's entries and the inputs of
    the next layers with it, on branches and residual connections too, so the result is faster on any
    runtime. Filters that have to go together are judged together.

    L1 importance after Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017; Taylor importance
    after Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019.
    """

    family: ClassVar[Family] = "pruning"
    paper: ClassVar[str] = "Li et al., ICLR 2017, arXiv:1608.08710; Molchanov et al., CVPR 2019, arXiv:1906.10771"

    ratio: float = Field(default=0.5, gt=0, lt=1, description="share of the filters to remove")
    importance: Literal["l1", "taylor"] = Field(
        default="l1", description="l1: sum of magnitudes; taylor: (gradient * weight)^2 on training batches"
    )
    scope: Literal["layer", "global"] = Field(
        default="layer", description="layer removes the same share everywhere; global compares filters across layers"
    )
    round_to: int = Field(default=1, ge=1, le=1024, description="keep a multiple of this many filters in each layer")
    neurons: bool = Field(default=False, description="remove units of hidden dense layers too")
    taylor_batches: int = Field(default=10, ge=1, le=10_000, description="training batches that taylor looks at")
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as conv1")
    recovery_epochs: int = Field(default=2, ge=0, le=10_000, description="epochs of training afterwards; 0 for none")
    recovery_learning_rate: float = Field(default=2e-3, gt=0, le=10, description="highest learning rate of it (Adam)")

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.surgery.graph import narrow_all, trace
        from paddlepress.weighted import weighted_layers
        from paddlepress_components.pruning import importance

        graph = trace(model)
        allowed = weighted_layers(model.network, self.exclude)
        kinds = {"filters", "neurons"} if self.neurons else {"filters"}
        groups = [
            group
            for group in graph.groups
            if group.kind in kinds and group.units > 1 and all(layer in allowed for layer in group.producers)
        ]
        if not groups:
            found = ", ".join(f"{group.name} ({group.kind})" for group in graph.groups) or "none"
            raise TechniqueRefused(f"no filters can be removed from this network. Groups that could shrink: {found}")
        if self.importance == "taylor":
            scores = importance.taylor(
                model.network, groups, context.train, batches=self.taylor_batches, seed=context.seed
            )
        else:
            scores = importance.l1(model.network, groups)
        keep = importance.choose(scores, self.ratio, self.scope, self.round_to)
        keep = {name: kept for name, kept in keep.items() if len(kept) < len(scores[name])}
        if not keep:
            raise TechniqueRefused(f"ratio {self.ratio:g} with round_to {self.round_to} removes no filter of any layer")
        for name, kept in keep.items():
            context.progress.note(f"{name}: {len(kept)} of {len(scores[name])} kept")
        return self.recover(narrow_all(model, keep), context)
