"""The technique `factorize-dense`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from paddlepress.model import Model


class FactorizeDense(Technique, Recovery):
    """Split dense layers into two thinner ones, the best product of that rank by singular values.

    A layer is left as it is where factors would not be smaller, where it is narrower than `min_size`, and
    where it is pruned or quantized already: its factors would be neither.

    Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation",
    NeurIPS 2014; Xue, Li and Gong, "Restructuring of Deep Neural Network Acoustic Models with Singular
    Value Decomposition", Interspeech 2013.
    """

    family: ClassVar[Family] = "factorization"
    paper: ClassVar[str] = "Denton et al., NeurIPS 2014, arXiv:1404.0736; Xue, Li and Gong, Interspeech 2013"

    ratio: float = Field(default=5.5, gt=1, description="how many times smaller each layer's weight gets")
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="takes the place of ratio: share of the squared singular values to keep"
    )
    min_size: int = Field(
        default=32, ge=2, description="leave layers with fewer inputs or outputs alone, such as small classifiers"
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")
    recovery_learning_rate: float = Field(default=5e-4, gt=0, le=10, description="highest learning rate of it (Adam)")
    recovery_loss: Literal["plain", "distilled"] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    def apply(self, model: Model, context: Context) -> Model:
        from paddle import nn

        from paddlepress.surgery.edits import Factorize
        from paddlepress.weighted import weighted_layers
        from paddlepress_components.factorization import svd

        fixed = dict.fromkeys(model.quantized(), "quantized already")
        fixed |= dict.fromkeys(model.masked(), "pruned already")
        edits, skipped = [], []
        for name, layer in weighted_layers(model.network, self.exclude).items():
            if not isinstance(layer, nn.Linear):
                continue
            rows, columns = layer.weight.shape
            reason = fixed.get(f"{name}.weight", "")
            if min(rows, columns) < self.min_size:
                reason = f"{rows}x{columns} is smaller than min_size {self.min_size}"
            if not reason:
                weight = layer.weight.numpy()
                rank = svd.rank_of(weight, ratio=None if self.energy else self.ratio, energy=self.energy)
                if rank >= 1 and rank * (rows + columns) < rows * columns:
                    svd.factorize(model.network, name, rank)
                    edits.append(Factorize(layer=name, rank=rank))
                    continue
                reason = f"rank {rank} of {rows}x{columns} saves nothing"
            skipped.append(f"{name}: {reason}")
        if not edits:
            raise TechniqueRefused(f"no dense layer can be factorized ({'; '.join(skipped) or 'there is none'})")
        for edit in edits:
            context.progress.note(f"{edit.layer}: rank {edit.rank}")
        return self.recover(model.with_edits(*edits), context)
