"""The technique `quantize-aware-training`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from paddlepress_components.quantization.fields import ActivationFields, free_layers

if TYPE_CHECKING:
    from paddle import nn

    from paddlepress.network.edits import Quantize
    from paddlepress.network.model import Model
    from paddlepress.training.hooks import Hook


class QuantizeAwareTraining(Technique, ActivationFields, Recovery):
    """Put weights on grids of few integers while the network trains, so that it learns to cope with them.

    The network computes with rounded weights, and float weights behind them learn; at the end the rounded
    ones stay. Weights are 8 bits (-127..127), 4 (-7..7), 2 (-1, 0, 1) or 1 (-1, 1) times a float32 scale; a
    pruned weight stays zero. With `activations: int8` layers' inputs are rounded to unsigned 8-bit integers
    meanwhile, whose ranges calibration data tell before training and three times on the way. Biases and norms
    stay float32.

    With `straight-through` a scale always fits the weights as they are, and their gradients are those of the
    rounded ones; with `lsq` the scales learn too, and weights beyond the grid's ends get no gradient. Fewer
    bits want more epochs. Below 4 bits, leave batch norms to learn on: do not fold them first.

    Straight-through training after Bengio, Léonard and Courville, 2013, and Jacob et al., "Quantization and
    Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018; its scales of 4
    and 2 bits after Zhang et al., "LQ-Nets", ECCV 2018; 1 bit after Rastegari et al., "XNOR-Net", ECCV 2016;
    `lsq` after Esser et al., "Learned Step Size Quantization", ICLR 2020; batch-norm folding after
    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.
    """

    family: ClassVar[Family] = "quantization"
    paper: ClassVar[str] = (
        "Jacob et al., CVPR 2018, arXiv:1712.05877; Esser et al., ICLR 2020, arXiv:1902.08153; "
        "Rastegari et al., ECCV 2016, arXiv:1603.05279; Zhang et al., ECCV 2018, arXiv:1807.10029"
    )

    bits: Literal[8, 4, 2, 1] = Field(default=8, description="bits of a weight: integers with a scale")
    method: Literal["straight-through", "lsq"] = Field(
        default="straight-through",
        description="straight-through: scales follow the weights; lsq: scales learn along with them",
    )
    granularity: Literal["per-channel", "per-tensor"] = Field(
        default="per-channel", description="one scale for each output of a layer, or one for the layer"
    )
    ends_bits: Literal[8] | None = Field(
        default=None,
        description="bits of the first and the last layer, which lose most, if not the same as the others'",
    )
    fold_batch_norm: bool = Field(
        default=False,
        description="fold batch norms into the layers before them first, with their statistics as they are; without, "
        "they learn on, and deployment folds them",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")
    recovery_epochs: int = Field(default=3, ge=1, le=10_000, description="epochs of training on the grid")
    recovery_loss: Literal["plain", "distilled"] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    def apply(self, model: Model, context: Context) -> Model:

        from paddlepress.surgery.folding import fold_norms
        from paddlepress_components.quantization import final_grids
        from paddlepress_components.quantization.activation_grids import ActivationGrids, Ranges
        from paddlepress_components.quantization.learned_steps import LearnedSteps
        from paddlepress_components.quantization.shared_activation_grids import regions_of
        from paddlepress_components.quantization.straight_through import FollowingScales

        layers = free_layers(model, self.exclude)
        if self.fold_batch_norm:
            model = fold_norms(model, layers)
        example = context.train.inputs[:1]
        ends = final_grids.ends(model.network, example) if self.ends_bits else ()
        edits = [self._grid(name, layer, 8 if name in ends else self.bits) for name, layer in layers.items()]
        weights = LearnedSteps(model, edits) if self.method == "lsq" else FollowingScales(model, edits)
        hooks: list[Hook] = [weights]
        activations = None
        if self.activations == "int8":
            ranges = Ranges(context.calibration.inputs, self.calibrator, self.percentile)
            regions = regions_of(model, layers, self.residual_adds, context.progress)
            activations = ActivationGrids(model, layers, ranges, weights, regions)
            hooks.append(activations)
        model = self.recover(model, context, *hooks)
        return final_grids.settle(model, edits, weights.scales(), activations)

    def _grid(self, name: str, layer: nn.Layer, bits: Literal[8, 4, 2, 1]) -> Quantize:
        from paddlepress.network.edits import Quantize
        from paddlepress.network.layer_kinds import output_axis

        return Quantize(
            layer=name,
            bits=bits,
            axis=output_axis(layer) if self.granularity == "per-channel" else None,
            reduce_range=self.reduce_range and bits == 8 and self.activations == "int8",
        )
