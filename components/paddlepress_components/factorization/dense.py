"""The technique `factorize-dense`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from pydantic import Field, model_validator

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

    ratio: float | None = Field(
        default=6.0,
        gt=1,
        description="how many times smaller each layer's weight gets; leave out where energy is given",
    )
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="instead of ratio: share of the squared singular values to keep"
    )
    min_size: int = Field(
        default=32, ge=2, description="leave layers with fewer inputs or outputs alone, such as small classifiers"
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")

    @model_validator(mode="before")
    @classmethod
    def _energy_takes_the_place_of_ratio(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("energy") is not None and "ratio" not in values:
            return {**values, "ratio": None}
        return values

    @model_validator(mode="after")
    def _check(self) -> FactorizeDense:
        if (self.ratio is None) == (self.energy is None):
            raise ValueError(f"give either ratio or energy; ratio is {self.ratio}, energy is {self.energy}")
        return self

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
                rank = svd.rank_of(weight, ratio=self.ratio, energy=self.energy)
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
