"""The technique `quantize-post-training`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress_components.quantization.fields import IntegerFields, free_layers, tables

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class QuantizePostTraining(Technique, IntegerFields):
    """Store weights in 16 bits or as integers of 8, 4, 2 or 1, and compute with 8-bit inputs, without training.

    As integers a layer's weights have a float32 scale (symmetric, zero at code zero; 2 bits are -1, 0 and 1, and
    1 bit is a sign) and, with `activations: int8`, its input is rounded to unsigned 8-bit integers whose range
    calibration data tell. With 16 bits weights are rounded to floats of that size and inputs stay as they are.
    Tables of embeddings are rounded to `embedding_bits`. Biases and norms stay float32. The network computes with
    the rounded numbers from then on, as the deployed one does. Pruned weights stay zero.

    From 4 bits down it matters how weights are rounded: `adaround` and `gptq` round them so that each layer's
    outputs on the calibration data change least, after the layers before it have been rounded. How many examples
    that are is set where the data are (`calibration`); 1,000 are enough for small networks.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR 2018; Nagel et al., "A White Paper on Neural Network Quantization", 2021; calibration by
    entropy: Migacz, "8-bit Inference with TensorRT", GTC 2017; bias correction: Nagel et al., "Data-Free
    Quantization Through Weight Equalization and Bias Correction", ICCV 2019; Nagel et al., "Up or Down? Adaptive
    Rounding for Post-Training Quantization", ICML 2020; Frantar et al., "GPTQ", ICLR 2023; one bit: Rastegari et
    al., "XNOR-Net", ECCV 2016.
    """

    family: ClassVar[Family] = "quantization"
    paper: ClassVar[str] = (
        "Jacob et al., CVPR 2018, arXiv:1712.05877; Nagel et al., 2021, arXiv:2106.08295; AdaRound: Nagel et al., "
        "ICML 2020, arXiv:2004.10568; GPTQ: Frantar et al., ICLR 2023, arXiv:2210.17323; bias correction: Nagel et "
        "al., ICCV 2019, arXiv:1906.04721"
    )

    bits: Literal[16, 8, 4, 2, 1] = Field(default=8, description="16: floats; fewer: integers with a scale")
    format: Annotated[Literal["float16", "bfloat16"], When("bits", 16)] = Field(
        default="float16", description="which floats 16 bits are"
    )

    @model_validator(mode="after")
    def _floats_need_no_grid(self) -> QuantizePostTraining:
        if self.bits == 16:
            for name, info in IntegerFields.model_fields.items():
                if name != "exclude" and getattr(self, name) not in (info.default, False, "none"):
                    raise ValueError(f"{name!r} is {getattr(self, name)!r}, which does nothing with bits 16")
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.network.edits import Quantize
        from paddlepress.network.grids import put_on_grid
        from paddlepress_components.quantization.layerwise import quantize_layers

        layers = free_layers(model, self.exclude)
        if self.bits != 16:
            return quantize_layers(model, context, layers, dict.fromkeys(layers, self.bits), self)
        edits = [Quantize(layer=name, bits=16, format=self.format) for name in layers]
        for edit in edits:
            put_on_grid(model, edit)
        return model.with_edits(*edits, *tables(model, self.exclude, 16, self.format))
