"""A technique of one's own: the whole of what a plugin needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from paddlepress import Context, Technique

if TYPE_CHECKING:
    from paddlepress import Model


class PruneBelowDeviation(Technique):
    """Set weights to zero that are small beside the deviation of their layer's weights.

    The threshold of Han et al., "Learning both Weights and Connections for Efficient Neural Networks",
    NeurIPS 2015: a quality parameter times the standard deviation of the layer's weights.
    """

    family: ClassVar[Any] = "pruning"
    paper: ClassVar[str] = "Han et al., NeurIPS 2015, arXiv:1506.02626"

    quality: float = Field(default=0.5, gt=0, le=3, description="times the deviation: weights below become zero")

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.network.edits import Mask

        pruned = []
        for name, weight in model.network.named_parameters():
            if name.endswith(".weight") and weight.ndim >= 2:
                values = weight.numpy()
                values[abs(values) < self.quality * values.std()] = 0
                weight.set_value(values)
                pruned.append(name)
        return model.with_edits(Mask(parameters=tuple(pruned)))
