"""The technique `factorize-dense`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from paddlepress_components.factorization.fields import RankFields

if TYPE_CHECKING:
    import paddle
    from numpy.typing import NDArray

    from paddlepress.network.model import Model
    from paddlepress_components.factorization.ranks import Plan, Ranks
    from paddlepress_components.factorization.svd import Decomposition


class FactorizeDense(Technique, RankFields, Recovery):
    """Split dense layers into two thinner ones, the best product of that rank by singular values.

    `svd` keeps the weight as close as it can, `data-aware` the layer's outputs on the calibration data. A layer
    is left as it is where factors would not be smaller, or by `round_to: auto` not faster on ONNX Runtime, where it
    is narrower than `min_size`, and where it is pruned or quantized already: its factors would be neither.

    Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation",
    NeurIPS 2014; Xue, Li and Gong, "Restructuring of Deep Neural Network Acoustic Models with Singular
    Value Decomposition", Interspeech 2013; data-aware after Chen et al., "DRONE", NeurIPS 2021, and Wang et al.,
    "SVD-LLM", ICLR 2025; ranks by variational Bayes after Nakajima et al., JMLR 14, 2013.
    """

    family: ClassVar[Family] = "factorization"
    paper: ClassVar[str] = (
        "Denton et al., NeurIPS 2014, arXiv:1404.0736; Xue, Li and Gong, Interspeech 2013; "
        "Chen et al., NeurIPS 2021; Wang et al., ICLR 2025, arXiv:2403.07378; Nakajima et al., JMLR 2013"
    )

    method: Literal["svd", "data-aware"] = Field(
        default="svd", description="svd: closest weight; data-aware: closest outputs on calibration data"
    )
    min_size: int = Field(
        default=32, ge=2, description="leave layers with fewer inputs or outputs alone, such as small classifiers"
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")
    recovery_learning_rate: Annotated[float, When("recovery_epochs", ...)] = Field(
        default=5e-4, gt=0, le=10, description="highest learning rate of that training (Adam)"
    )
    recovery_loss: Annotated[Literal["plain", "distilled"], When("recovery_epochs", ..., also=("plain",))] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    def apply(self, model: Model, context: Context) -> Model:
        from paddle import nn

        from paddlepress.network.edits import Factorize
        from paddlepress_components.factorization import ranks
        from paddlepress_components.factorization.candidates import candidates, moments, outcome
        from paddlepress_components.factorization.svd import Decomposition

        found = candidates(model, nn.Linear, self.exclude, self._reason)
        seen: dict[str, NDArray[Any] | None] = dict.fromkeys(found.layers)
        if self.method == "data-aware" and found.layers:
            seen.update(moments(model, found.layers, context.calibration.inputs))
        weights = {name: Decomposition(layer.weight.numpy(), seen[name]) for name, layer in found.layers.items()}
        plans = {name: plan(weight, found.places[name].outputs) for name, weight in weights.items()}
        chosen = ranks.choose_ranks(self, plans, found.fixed)
        for sentence in outcome(found, chosen, "dense layer"):
            context.progress.note(sentence)
        for name, rank in chosen.items():
            factorize(model.network, name, rank, weights[name])
        edits = [Factorize(layer=name, rank=rank[0]) for name, rank in chosen.items()]
        return self.recover(model.with_edits(*edits), context)

    def _reason(self, layer: paddle.nn.Layer) -> str:
        """Why a dense layer is left alone; empty if it is not."""
        rows, columns = layer.weight.shape
        return (
            f"{rows}x{columns} is smaller than min_size {self.min_size}" if min(rows, columns) < self.min_size else ""
        )


def plan(weight: Decomposition, rows: int) -> Plan:
    """The ranks that a dense layer may get, and what they cost.

    Args:
        weight: the layer's.
        rows: how many the layer computes at one example.
    """
    from paddlepress.surgery.kernel_times import Work
    from paddlepress_components.factorization.evbmf import evbmf_rank
    from paddlepress_components.factorization.ranks import Plan

    inputs, outputs = weight.weight.shape

    def work(first: int, last: int) -> Work:
        return Work(first, last, (1, 1), rows, dense=True)

    return Plan(
        spectra=(weight.spectrum(),),
        chain=lambda ranks: [work(inputs, ranks[0]), work(ranks[0], outputs)],
        full=work(inputs, outputs),
        evbmf=lambda: (evbmf_rank(weight.weight),),
    )


def factorize(network: paddle.nn.Layer, name: str, ranks: Ranks, weight: Decomposition | None = None) -> None:
    """Put a `LowRankLinear` with the truncated weight in the place of a dense layer.

    Args:
        network, name: where the layer is.
        ranks: the one rank.
        weight: the layer's; by default without regard to what it reads.
    """
    import numpy as np

    from paddlepress.network.edits import find, replace
    from paddlepress.network.inserted_layers import LowRankLinear
    from paddlepress_components.factorization.svd import Decomposition

    layer = find(network, name)
    first, second = (weight or Decomposition(layer.weight.numpy())).truncate(ranks[0])
    factors = LowRankLinear.in_place_of(layer, ranks[0])
    factors.first.weight.set_value(first.astype(np.float32))
    factors.second.weight.set_value(second.astype(np.float32))
    if layer.bias is not None:
        factors.second.bias.set_value(layer.bias)
    factors.train() if network.training else factors.eval()
    replace(network, name, factors)
