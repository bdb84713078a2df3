"""Training after compression, which must not undo it.

What a model's edits promise stays true: zeros of masked weights stay exactly zero through every step, weights
that share a value keep sharing one, and quantized weights learn through the grid that they are on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from paddlepress.core.fields import Fields, When
from paddlepress.training.augmentation import DESCRIPTION, Stated

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.techniques import Context
    from paddlepress.training.hooks import Hook
    from paddlepress.training.losses import Loss
    from paddlepress.training.settings import TrainingSettings

TEMPERATURE = 4.0
ALPHA = 0.7


class Recovery(Fields):
    """Fields of the techniques that can train a model back to accuracy after they changed it."""

    recovery_epochs: int = Field(default=1, ge=0, le=10_000, description="epochs of training afterwards; 0 for none")
    recovery_learning_rate: Annotated[float, When("recovery_epochs", ...)] = Field(
        default=1e-3, gt=0, le=10, description="highest learning rate of that training (Adam)"
    )
    recovery_batch_size: Annotated[int, When("recovery_epochs", ...)] = Field(
        default=128, ge=1, le=65_536, description="examples in one step of that training"
    )
    recovery_loss: Annotated[Literal["plain", "distilled"], When("recovery_epochs", ..., also=("plain",))] = Field(
        default="plain", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )
    recovery_shift: Annotated[int, When("recovery_epochs", ...)] = Field(
        default=0, ge=0, le=32, description="augmentation in that training: move each image by up to this many pixels"
    )
    recovery_augmentation: Annotated[Stated, When("recovery_epochs", ...)] = Field(
        default=[], description=f"in that training, {DESCRIPTION}"
    )

    def recover(
        self,
        model: Model,
        context: Context,
        *hooks: Hook,
    ) -> Model:
        """Train a compressed model as the fields say.

        Args:
            model: trained in place.
            context: data, teacher and seed.
            hooks: in force besides the model's own masks, grids and codebooks.

        Returns:
            The model, with every promise of its edits kept.
        """
        if self.recovery_epochs == 0:
            return model
        from paddlepress.training.losses import taught_by
        from paddlepress.training.settings import TrainingSettings

        settings = TrainingSettings(
            epochs=self.recovery_epochs,
            learning_rate=self.recovery_learning_rate,
            batch_size=self.recovery_batch_size,
            shift=self.recovery_shift,
            augmentation=self.recovery_augmentation,
        )
        loss = None
        if self.recovery_loss == "distilled":
            loss = taught_by(context.base, context.train, TEMPERATURE, ALPHA, augmented=settings.augmented)
        return retrain(model, context, settings, loss, hooks, self.model_dump_json())


def retrain(
    model: Model,
    context: Context,
    settings: TrainingSettings,
    loss: Loss | None = None,
    hooks: Sequence[Hook] = (),
    identity: str = "",
) -> Model:
    """Train a model in place with every promise of its edits kept.

    Args:
        model: any model, compressed or not.
        context: data, seed, checkpoint, and who is told.
        settings, loss, hooks, identity: as for `fit`.

    Raises:
        TrainingFailed: the loss is not a number.
    """
    from paddlepress.network.grids import put_on_grid
    from paddlepress.training.fake_quantization import OnGrid
    from paddlepress.training.loop import fit
    from paddlepress.training.masks import KeepZeros
    from paddlepress.training.shared_values import Tied

    tied = Tied(model)
    fit(
        model.network,
        model.task,
        context,
        settings,
        loss=loss,
        hooks=[KeepZeros(model.network, model.masked()), tied, OnGrid(model), *hooks],  # these see the zeros in place
        identity=f"{identity} {context.base.digest() if loss is not None else ''}",
    )
    tied.tie()
    for name, edit in model.quantized().items():
        put_on_grid(model, edit, model.scales.get(name))
    return model
