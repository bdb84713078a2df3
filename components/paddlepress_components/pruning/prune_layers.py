"""The technique `prune-layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import When
from paddlepress.forward.score import mean_loss
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paddlepress.data import Split
    from paddlepress.network.model import Model


class PruneLayers(Technique, Recovery):
    """Take whole residual blocks, or layers as wide as their input, out of the network.

    What can go is seen from a forward pass: layers with weights that are called once and give a tensor of the
    shape that they are given. Each is bypassed in turn, and the one without which the loss on a sample rises
    least is removed; then the others are measured again, until as many are gone as asked. The network has
    fewer layers one after another, and those that stay keep their width, which the runtime's kernels like.

    Measured importance of layers after Elkerdawy et al., "To Filter Prune, or to Layer Prune, That Is the
    Question", ACCV 2020; greedy removal of blocks by the loss without them after Kim et al., "Shortened LLaMA:
    Depth Pruning for Large Language Models", 2024; that residual networks can do without a block after Veit et
    al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NeurIPS 2016.
    """

    family: ClassVar[Family] = "pruning"
    paper: ClassVar[str] = "Elkerdawy et al., ACCV 2020, arXiv:2007.05667; Kim et al., 2024, arXiv:2402.02834"

    count: Annotated[int, When("ratio", None)] = Field(
        default=1, ge=1, le=10_000, description="how many blocks or layers to remove"
    )
    ratio: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="takes the place of count: share of those that can be removed, at least one",
    )
    candidates: Literal["blocks", "all"] = Field(
        default="blocks",
        description="blocks: those that hold several layers with weights, if there are any; all: single layers too",
    )
    measured_on: Literal["train", "validation"] = Field(
        default="train", description="which data the loss without a layer is measured on"
    )
    sample: int = Field(default=1024, ge=1, le=10_000_000, description="how many examples of it, chosen at random")
    schedule: Literal["one-shot", "iterative", "during-training"] = Field(
        default="one-shot",
        description="one-shot removes all, then recovers; iterative recovers after each, before the next is chosen; "
        "during-training bypasses one after another in the first half of one training, and removes them at its end",
    )
    exclude: list[str] = Field(
        default=[], description="layers to keep, and what holds them: names or patterns such as stage1.*"
    )
    recovery_epochs: int = Field(default=2, ge=0, le=10_000, description="epochs of training afterwards; 0 for none")
    recovery_learning_rate: Annotated[float, When("recovery_epochs", ...)] = Field(
        default=2e-3, gt=0, le=10, description="highest learning rate of that training (Adam)"
    )

    @model_validator(mode="after")
    def _trains_if_it_must(self) -> PruneLayers:
        if self.schedule == "during-training" and self.recovery_epochs == 0:
            raise ValueError("schedule is 'during-training': 'recovery_epochs' must be at least 1")
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.surgery.layer_removal import remove
        from paddlepress_components.pruning import layer_importance as weight_importance
        from paddlepress_components.pruning.training_rounds import numbered

        names = self._names(model, context)
        count = self.count if self.ratio is None else max(1, round(self.ratio * len(names)))
        data = context.train if self.measured_on == "train" else context.validation
        if len(data) == 0:
            raise TechniqueRefused(f"the {self.measured_on} split, on which losses are to be measured, is empty")
        data = data.take(self.sample, context.seed)
        if self.schedule == "during-training":
            return self._while_training(model, context, names, count, data)
        loss = mean_loss(model.network, model.task, data)
        for number in range(count):
            name, without = weight_importance.least_needed(model, names, data)
            context.progress.note(f"{name} goes: loss {without:.4g} without it, {loss:.4g} with it")
            context.log("loss_without_layer", without, number + 1)
            model, loss = remove(model, name), without
            names.remove(name)
            if self.schedule == "iterative":
                model = self.recover(model, numbered(context, number, self.recovery_epochs))
                loss = mean_loss(model.network, model.task, data)
        return model if self.schedule == "iterative" else self.recover(model, context)

    def _while_training(self, model: Model, context: Context, names: list[str], count: int, data: Split) -> Model:
        from paddlepress.surgery.layer_removal import remove
        from paddlepress_components.pruning import layer_importance as weight_importance
        from paddlepress_components.pruning.layer_bypassing import Bypassing

        def choose(left: Sequence[str]) -> str:
            name, without = weight_importance.least_needed(model, left, data)
            context.progress.note(f"{name} goes: loss {without:.4g} without it")
            context.log("loss_without_layer", without, len(names) - len(left) + 1)
            return name

        bypassing = Bypassing(model.network, names, count, choose)
        model = self.recover(model, context, bypassing)
        bypassing.end()
        for name in bypassing.bypassed:
            model = remove(model, name)
        return model

    def _names(self, model: Model, context: Context) -> list[str]:
        """The layers to choose from, at least as many as are to go."""
        from paddlepress.surgery.layer_removal import holding, removable

        kept = holding(model.network, self.exclude)
        found, looked = removable(model, context.train.inputs[:2])
        blocks = [one.name for one in found if one.layers > 1]
        names = blocks if blocks and self.candidates == "blocks" else [one.name for one in found]
        looked += [f"{name} (no block)" for name in (one.name for one in found) if name not in names]
        looked += [f"{name} (excluded)" for name in names if name in kept]
        names = [name for name in names if name not in kept]
        wanted = self.count if self.ratio is None else 1
        if len(names) < wanted:
            raise TechniqueRefused(
                f"{wanted} to remove, but {len(names)} can be: {', '.join(names) or 'none'}. A layer can go that is "
                "called once and gives a tensor of the shape that it is given. "
                f"Looked at besides: {', '.join(looked) or 'no other layer with weights'}"
            )
        return names
