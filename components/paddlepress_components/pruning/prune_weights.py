"""The technique `prune-weights`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from paddlepress.model import Model


class PruneWeights(Technique, Recovery):
    """Set the smallest weights to zero, where they stay through all later training.

    Only weights of convolutions and dense layers are pruned, and `sparsity` is the share of zeros among
    those that are not excluded; biases and norms are never touched. The artifact stores the zeros as a
    coded mask, so it is smaller on disk; a dense runtime is no faster for it.

    Magnitude pruning after Han et al., "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015; the gradual schedule after Zhu and Gupta, "To prune, or not to prune", 2017.
    """

    family: ClassVar[Family] = "pruning"
    paper: ClassVar[str] = "Han et al., NeurIPS 2015, arXiv:1506.02626; Zhu and Gupta, 2017, arXiv:1710.01878"

    sparsity: float = Field(default=0.9, gt=0, lt=1, description="share of the weights to set to zero")
    threshold: float | None = Field(
        default=None,
        gt=0,
        description="takes the place of sparsity and scope: set weights of a smaller magnitude than this to zero",
    )
    scope: Literal["global", "layer"] = Field(
        default="global", description="global compares weights across layers; layer prunes the same share of each"
    )
    schedule: Literal["one-shot", "gradual"] = Field(
        default="one-shot",
        description="one-shot prunes, then recovers; gradual prunes more and more while it recovers (cubic schedule)",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")

    @model_validator(mode="after")
    def _check(self) -> PruneWeights:
        if self.schedule == "gradual" and self.recovery_epochs == 0:
            raise ValueError("schedule 'gradual' prunes during training: recovery_epochs must be at least 1, not 0")
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.surgery.edits import Mask
        from paddlepress.training.masks import Masks, values
        from paddlepress.weighted import weighted_layers
        from paddlepress_components.pruning import magnitude
        from paddlepress_components.pruning.gradual import GradualPruning

        names = tuple(f"{layer}.weight" for layer in weighted_layers(model.network, self.exclude))
        if not names:
            raise TechniqueRefused("there is no convolution or dense layer to prune")
        weights = {name: values(model.network, name) for name in names}
        before = magnitude.sparsity(weights)
        target, scope = self.sparsity, self.scope
        if self.threshold is not None:
            # The smallest weights of all layers together, as many as lie below it, are the weights below it.
            target, scope = magnitude.share_below(weights, self.threshold), "global"
        asked = f"sparsity {target:.4g}" if self.threshold is None else f"threshold {self.threshold:g}"
        if target <= before:
            raise TechniqueRefused(f"{asked} prunes nothing: {before:.4g} of the weights are zero already")
        keep = magnitude.keep(weights, target, scope)
        for name, mask in keep.items():
            if not mask.any():
                other = ", or use scope 'layer'" if scope == "global" and self.threshold is None else ""
                remedy = f"lower it, or exclude the layer{other}"
                raise TechniqueRefused(f"{name} would lose all its weights at {asked}: {remedy}")
        model = model.with_edits(Mask(parameters=names))
        if self.schedule == "gradual":
            model = self.recover(model, context, GradualPruning(model.network, names, before, target, scope))
        else:
            Masks(model.network, keep).enforce()
            model = self.recover(model, context)
        context.log("sparsity", magnitude.sparsity({name: values(model.network, name) for name in names}), 0)
        return model
