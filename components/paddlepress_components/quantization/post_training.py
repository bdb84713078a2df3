"""The technique `quantize-post-training`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique

if TYPE_CHECKING:
    from paddlepress.model import Model


class QuantizePostTraining(Technique):
    """Store weights in 8 or 16 bits, and compute with 8-bit inputs, without any training.

    With 8 bits a layer's weights become integers with a float32 scale (symmetric, zero at code zero) and,
    with `activations: int8`, its input is rounded to unsigned 8-bit integers whose range calibration data
    tell. With 16 bits weights are rounded to float16 and inputs stay as they are. Biases and norms stay
    float32. The network computes with the rounded numbers from then on, as the deployed one does.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR 2018; Nagel et al., "A White Paper on Neural Network Quantization", 2021.
    """

    family: ClassVar[Family] = "quantization"
    paper: ClassVar[str] = "Jacob et al., CVPR 2018, arXiv:1712.05877; Nagel et al., 2021, arXiv:2106.08295"

    bits: Literal[16, 8] = Field(default=8, description="8: integers with a scale; 16: float16")
    granularity: Literal["per-channel", "per-tensor"] = Field(
        default="per-channel", description="one scale for each output of a layer, or one for the layer (8 bits only)"
    )
    activations: Literal["int8", "none"] = Field(
        default="int8", description="whether layers' inputs are rounded to 8 bits too (8 bits only)"
    )
    calibrator: Literal["min-max", "percentile"] = Field(
        default="percentile", description="how an input's range is read from the calibration data"
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="share of an input's values that its range covers, in percent"
    )
    reduce_range: bool = Field(
        default=True,
        description="7-bit weights where inputs are 8 bits: without VNNI, 8-bit ones overflow in the processor",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.grid import input_grid, put_on_grid
        from paddlepress.surgery.edits import Quantize
        from paddlepress.surgery.layers import simulate_quantized_input
        from paddlepress.weighted import output_axis, weighted_layers
        from paddlepress_components.quantization.calibration import input_ranges

        layers = weighted_layers(model.network, self.exclude)
        if not layers:
            raise TechniqueRefused("there is no convolution or dense layer to quantize")
        already = {edit.layer: edit.bits for edit in model.quantized().values()}
        again = [f"{name} ({already[name]} bits)" for name in layers if name in already]
        if again:
            raise TechniqueRefused(f"quantized already: {', '.join(again)}; quantize once, or exclude these layers")
        rounds_inputs = self.bits == 8 and self.activations == "int8"
        ranges = {}
        if rounds_inputs:
            percentile = self.percentile if self.calibrator == "percentile" else 100.0
            ranges = input_ranges(model.network, layers, context.calibration.inputs, percentile)
        edits = []
        for name, layer in layers.items():
            scale, zero_point = input_grid(*ranges[name]) if name in ranges else (None, 0)
            edit = Quantize(
                layer=name,
                bits=self.bits,
                axis=output_axis(layer) if self.bits == 8 and self.granularity == "per-channel" else None,
                reduce_range=self.reduce_range and rounds_inputs,
                input_scale=scale,
                input_zero_point=zero_point,
            )
            put_on_grid(model, edit)
            if scale is not None:
                simulate_quantized_input(layer, scale, zero_point)
            edits.append(edit)
        return model.with_edits(*edits)
