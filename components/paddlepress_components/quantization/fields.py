"""The fields that techniques share which quantize a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import Fields, When

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paddle import nn

    from paddlepress.network.edits import Quantize
    from paddlepress.network.grids import Cover
    from paddlepress.network.model import Model


class ActivationFields(Fields):
    """How the inputs of layers are rounded to integers."""

    activations: Literal["int8", "none"] = Field(
        default="int8", description="whether layers' inputs are rounded to 8 bits too"
    )
    calibrator: Annotated[Literal["min-max", "percentile", "entropy", "mse"], When("activations", "int8")] = Field(
        default="percentile",
        description="how an input's range is read from the calibration data: all of it, a share of the values, "
        "where least information is lost, or where the squared error is least",
    )
    percentile: Annotated[float, When("activations", "int8"), When("calibrator", "percentile")] = Field(
        default=99.99,
        gt=50,
        le=100,
        description="share of an input's values that neither end of its range cuts off, in percent",
    )
    reduce_range: Annotated[bool, When("activations", "int8", also=(False,))] = Field(
        default=True,
        description="7-bit weights where it would be 8 and inputs are rounded: without VNNI, 8-bit ones overflow in "
        "the processor",
    )
    residual_adds: Annotated[bool, When("activations", "int8", also=(False,))] = Field(
        default=True,
        description="with int8 activations: round what residual additions, pools and others read between quantized "
        "layers too, so that they and the convolutions before them run on integers",
    )


class IntegerFields(ActivationFields):
    """How weights and inputs are put on grids of integers."""

    granularity: Literal["per-channel", "per-tensor", "per-group"] = Field(
        default="per-channel",
        description="one scale for each output of a layer, for the layer, or for each run of an output's weights "
        "(not for 16 bits)",
    )
    group_size: Annotated[int, When("granularity", "per-group")] = Field(
        default=64,
        ge=2,
        le=65_536,
        description="per-group: weights in a run; in deployment such layers compute with decoded floats",
    )
    weight_range: Literal["auto", "max", "mse", "output"] = Field(
        default="auto",
        description="max: a grid covers the largest weight; mse: it has the least squared error and may clip; "
        "output: for each output of a layer whichever of the two changes it less on the calibration data; auto: max "
        "for 8 bits, and for 4 where rounding is not to the nearest, which clipping gains little; output for 4 to the "
        "nearest; else mse",
    )
    rounding: Literal["nearest", "adaround", "gptq"] = Field(
        default="nearest",
        description="nearest: each weight by itself; adaround: up or down as is learned layer by layer; gptq: one "
        "input after the other, the later ones making up for the error",
    )
    adaround_steps: Annotated[int, When("rounding", "adaround")] = Field(
        default=1000, ge=1, le=1_000_000, description="adaround: steps of Adam for a layer"
    )
    adaround_batch_size: Annotated[int, When("rounding", "adaround")] = Field(
        default=32, ge=1, le=65_536, description="adaround: examples in a step"
    )
    adaround_learning_rate: Annotated[float, When("rounding", "adaround")] = Field(
        default=0.01, gt=0, le=10, description="adaround: learning rate of Adam"
    )
    gptq_damping: Annotated[float, When("rounding", "gptq")] = Field(
        default=0.01, gt=0, le=10, description="gptq: added to the Hessian's diagonal, as a share of its mean"
    )
    gptq_order: Annotated[Literal["given", "activity"], When("rounding", "gptq")] = Field(
        default="given", description="gptq: activity rounds the inputs first that carry most"
    )
    bias_correction: bool = Field(
        default=False,
        description="take back the mean shift of each layer's output, in its bias or the batch normalization after it",
    )
    embedding_bits: Literal[32, 16, 8, 4] = Field(
        default=8,
        description="bits of the tables that embeddings look tokens up in, to the nearest; 32 leaves them as they are",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")

    def covers(self, bits: int) -> tuple[Cover, ...]:
        """What the grid of a weight of so many bits may be fitted to, see `grid.fit_scale`.

        By itself a weight is rounded best on a grid that clips the largest. Where each layer's outputs are what
        rounding keeps, finer steps are made up for by the other weights, and what was clipped is not.

        Returns:
            One; or several, of which each output of a layer gets what it errs least with. The first of them counts
            where there are no examples to tell.
        """
        if self.weight_range == "output" or (self.weight_range == "auto" and bits == 4 and self.rounding == "nearest"):
            return ("mse", "max") if bits > 1 else ("mse",)
        if self.weight_range != "auto":
            return (self.weight_range,)
        return ("max",) if bits in (4, 8) else ("mse",)

    def needs_data(self, bits: int) -> bool:
        """Whether rounding a weight to so many bits takes examples of what its layer receives."""
        return self.rounding != "nearest" or len(self.covers(bits)) > 1

    def grid_of(self, name: str, layer: nn.Layer, bits: Literal[8, 4, 2, 1]) -> Quantize:
        """The edit that puts a layer's weight on a grid, its input being left float.

        Args:
            name: the layer's.
            layer: a convolution or dense layer.
            bits: of its weight.
        """
        from paddlepress.network.edits import Quantize
        from paddlepress.network.layer_kinds import output_axis

        axis = output_axis(layer)
        run = int(layer.weight.size) // int(layer.weight.shape[axis])
        grouped = self.granularity == "per-group" and self.group_size < run
        return Quantize(
            layer=name,
            bits=bits,
            axis=None if self.granularity == "per-tensor" else axis,
            group=self.group_size if grouped else None,
            reduce_range=self.reduce_range and bits == 8 and self.activations == "int8" and not grouped,
        )


def tables(
    model: Model,
    exclude: Iterable[str],
    bits: Literal[32, 16, 8, 4],
    format: Literal["float16", "bfloat16"] = "float16",
) -> list[Quantize]:
    """Put the tables of embeddings on grids; one that is on a grid already stays.

    Args:
        model: its tables are set.
        exclude: layers to leave alone.
        bits: 32 leaves all as they are; 16: floats of `format`; fewer: integers with a scale for each column.
        format: which floats 16 bits are.

    Returns:
        The edits, which are not recorded yet.
    """
    from paddlepress.network.edits import Quantize
    from paddlepress.network.grids import put_on_grid
    from paddlepress.network.layer_kinds import embeddings, output_axis

    if bits == 32:
        return []
    taken, edits = model.on_a_grid(), list[Quantize]()
    for name, layer in embeddings(model.network, exclude).items():
        if f"{name}.weight" not in taken:
            axis = output_axis(layer) if bits < 16 else None
            edits.append(Quantize(layer=name, bits=bits, format=format, axis=axis))
            put_on_grid(model, edits[-1])
    return edits


def free_layers(model: Model, exclude: Iterable[str]) -> dict[str, nn.Layer]:
    """The layers that can be quantized, by name: convolutions and dense layers but the excluded ones.

    Raises:
        UsageError: a pattern that matches no layer.
        TechniqueRefused: there is none, or the weight of one is quantized or shared already.
    """
    from paddlepress.network.layer_kinds import weighted_layers

    layers = weighted_layers(model.network, exclude)
    if not layers:
        raise TechniqueRefused("there is no convolution or dense layer to quantize")
    taken = model.on_a_grid()
    again = [f"{name} is {taken[f'{name}.weight']}" for name in layers if f"{name}.weight" in taken]
    if again:
        raise TechniqueRefused(f"{', '.join(again)}; quantize a layer once, or exclude it")
    return layers
