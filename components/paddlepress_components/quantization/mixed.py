"""The technique `quantize-mixed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from paddlepress.core.errors import DataError, TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress_components.quantization.fields import IntegerFields, free_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paddle import nn

    from paddlepress.network.model import Model
    from paddlepress_components.quantization.sensitivity import Bits, Option

VALID_BITS = (8, 4, 2, 1)
_TRIES = 5


class QuantizeMixed(Technique, IntegerFields):
    """Give each layer's weights as many bits as its sensitivity asks for, within a budget of size.

    Each layer alone is quantized at each of the candidate bits, and the damage is measured: the Kullback-Leibler
    divergence of the network's predictions on calibration data from what they were. Of all ways to give each
    layer one of the candidates, the one of the least total damage that the budget allows is found by dynamic
    programming. Then the layers are quantized as `quantize-post-training` does. Layers' damages are taken to add up.

    Dong et al., "HAWQ: Hessian AWare Quantization of Neural Networks with Mixed-Precision", ICCV 2019, whose
    measure of sensitivity is the Hessian; Cai and Vasconcelos, "Rethinking Differentiable Search for
    Mixed-Precision Neural Networks", CVPR 2020; damage as divergence of predictions: Cai et al., "ZeroQ", CVPR 2020.
    """

    family: ClassVar[Family] = "quantization"
    paper: ClassVar[str] = (
        "Dong et al., ICCV 2019, arXiv:1905.03696; Cai et al., CVPR 2020, arXiv:2001.00281; "
        "Cai and Vasconcelos, CVPR 2020, arXiv:2004.05795"
    )

    bits: list[int] = Field(
        default=[8, 4, 2], min_length=1, description="what a layer's weights may have: some of 8, 4, 2 and 1"
    )
    budget: float = Field(
        default=4.0, gt=0, le=8, description="bits that a weight may take on average over the layers quantized"
    )
    size: Literal["encoded", "nominal"] = Field(
        default="encoded",
        description="what a weight takes: encoded: its share of the bytes in the artifact, entropy coded, with scales "
        "and tables; nominal: its bits, and 32 for each scale",
    )
    sensitivity_examples: int = Field(
        default=512, ge=1, description="calibration examples on which each layer's damage is measured"
    )

    @field_validator("bits")
    @classmethod
    def _known(cls, value: list[int]) -> list[int]:
        unknown = [bits for bits in value if bits not in VALID_BITS]
        if unknown:
            raise ValueError(f"{unknown[0]} is not a number of bits. Valid: {', '.join(map(str, VALID_BITS))}")
        return value

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress_components.quantization.layerwise import quantize_layers
        from paddlepress_components.quantization.sensitivity import encoded_bytes, nominal_bytes, options

        layers = free_layers(model, self.exclude)
        if len(context.calibration) == 0:
            raise DataError("the calibration split is empty: measuring layers' sensitivity needs examples")
        size = encoded_bytes if self.size == "encoded" else nominal_bytes
        inputs = context.calibration.take(self.sensitivity_examples, context.seed).inputs
        candidates: list[Bits] = [bits for bits in VALID_BITS[::-1] if bits in self.bits]  # type: ignore[misc]
        measured = options(model, layers, candidates, self, inputs, size, context.progress)
        weights = sum(int(layer.weight.size) for layer in layers.values())
        budget = int(self.budget * weights / 8)
        aim = budget
        for _ in range(_TRIES):
            chosen = self._choose(measured, aim, weights)
            result = model.copy()
            own = free_layers(result, self.exclude)
            result = quantize_layers(result, context, own, {name: option.bits for name, option in chosen.items()}, self)
            taken = {name: size(result.codes(f"{name}.weight"), option.bits) for name, option in chosen.items()}
            if sum(taken.values()) <= budget:
                return self._tell(result, context, chosen, taken, own)
            # Codes that were not rounded to the nearest may take more bytes than those that were measured.
            aim -= sum(taken.values()) - budget
        raise TechniqueRefused(f"with {self.rounding} rounding no choice of bits stays within {self.budget:g} a weight")

    def _choose(self, measured: Mapping[str, list[Option]], budget: int, weights: int) -> dict[str, Option]:
        from paddlepress_components.quantization.knapsack import solve_knapsack

        sizes = [[option.bytes for option in found] for found in measured.values()]
        damages = [[option.damage for option in found] for found in measured.values()]
        indices = solve_knapsack(sizes, damages, budget)
        if indices is None:
            least = 8 * sum(min(options) for options in sizes) / weights
            raise TechniqueRefused(
                f"a budget of {self.budget:g} bits a weight is too small: with {min(self.bits)} bits everywhere these "
                f"layers take {least:.2f}"
            )
        return {name: found[index] for (name, found), index in zip(measured.items(), indices, strict=True)}

    def _tell(
        self,
        model: Model,
        context: Context,
        chosen: Mapping[str, Option],
        taken: Mapping[str, int],
        layers: Mapping[str, nn.Layer],
    ) -> Model:
        for name, option in chosen.items():
            context.progress.note(
                f"{name}: {option.bits} bits, {taken[name]} bytes, divergence alone {option.damage:.2g}"
            )
            context.log(f"bits.{name}", option.bits, 0)
        weights = sum(int(layer.weight.size) for layer in layers.values())
        context.log("bits_per_weight", 8 * sum(taken.values()) / weights, 0)
        context.log("summed_divergence", sum(option.damage for option in chosen.values()), 0)
        return model
