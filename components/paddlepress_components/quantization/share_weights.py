"""The technique `share-weights`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class ShareWeights(Technique, Recovery):
    """Have the weights of a layer share few values, which one-dimensional k-means finds, then train those.

    Each layer gets a codebook of its own, and each of its weights is a place in it: `bits` instead of 32.
    Recovery training moves the shared values, each by the sum of the gradients of the weights that have it.
    A pruned weight stays zero: zero is then one value of the codebook. The artifact stores the places entropy
    coded, so that they cost less than `bits`; a runtime computes with the values as floats, no faster than
    before. Biases and norms are left alone.

    Han, Mao and Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization
    and Huffman Coding", ICLR 2016.
    """

    family: ClassVar[Family] = "quantization"
    paper: ClassVar[str] = "Han, Mao and Dally, ICLR 2016, arXiv:1510.00149"

    bits: int = Field(
        default=4, ge=1, le=8, description="bits of a place in a layer's codebook, which has up to 2^bits values"
    )
    dense_bits: int | None = Field(
        default=None, ge=1, le=8, description="bits for dense layers, where they are to differ from convolutions"
    )
    initialization: Literal["linear", "density", "random"] = Field(
        default="linear",
        description="where k-means starts: linear spreads its values evenly over the weights' range, density evenly "
        "over the weights in order of size, random takes weights at random",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")
    recovery_learning_rate: Annotated[float, When("recovery_epochs", ...)] = Field(
        default=1e-3, gt=0, le=10, description="highest learning rate of that training (Adam)"
    )
    recovery_loss: Annotated[Literal["plain", "distilled"], When("recovery_epochs", ..., also=("plain",))] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    def apply(self, model: Model, context: Context) -> Model:
        from paddle import nn

        from paddlepress.network.edits import Share
        from paddlepress.training.masks import values
        from paddlepress_components.quantization import kmeans
        from paddlepress_components.quantization.fields import free_layers

        layers = free_layers(model, self.exclude)
        edits, masked = [], model.masked()
        error = total = 0.0
        for name, layer in layers.items():
            dense = isinstance(layer, nn.Linear)
            edit = Share(layer=name, bits=self.dense_bits if dense and self.dense_bits is not None else self.bits)
            weight = values(model.network, edit.parameter)
            shared = kmeans.share(weight, edit.bits, self.initialization, context.seed, edit.parameter in masked)
            layer.weight.set_value(shared)
            error, total = error + float(((shared - weight) ** 2).sum()), total + float((weight**2).sum())
            edits.append(edit)
        context.log("sharing_error", error / total if total else 0.0, 0)
        return self.recover(model.with_edits(*edits), context)
