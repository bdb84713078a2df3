"""The technique `factorize-dense`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from paddlepress.errors import TechniqueRefused
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from paddlepress_components.factorization.fields import RankFields

if TYPE_CHECKING:
    import paddle
    from numpy.typing import NDArray

    from paddlepress.model import Model
    from paddlepress_components.factorization.ranks import Plan, Ranks


class FactorizeDense(Technique, RankFields, Recovery):
    """Split dense layers into two thinner ones, the best product of that rank by singular values.

    `svd` keeps the weight as close as it can, `data-aware` the layer's outputs on the calibration data. A layer
    is left as it is where factors would not be smaller, where it is narrower than `min_size`, and where it is
    pruned or quantized already: its factors would be neither.

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
    recovery_learning_rate: float = Field(default=5e-4, gt=0, le=10, description="highest learning rate of it (Adam)")
    recovery_loss: Literal["plain", "distilled"] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    def apply(self, model: Model, context: Context) -> Model:
        from paddle import nn

        from paddlepress.surgery.edits import Factorize
        from paddlepress.surgery.macs import macs
        from paddlepress.weighted import weighted_layers
        from paddlepress_components.factorization import observed, ranks

        counts = macs(model)
        every = {n: layer for n, layer in weighted_layers(model.network).items() if isinstance(layer, nn.Linear)}
        allowed = weighted_layers(model.network, self.exclude)
        fixed = model.on_a_grid() | dict.fromkeys(model.masked(), "pruned already")
        reasons = {n: fixed.get(f"{n}.weight", "") or self._reason(every[n]) for n in every if n in allowed}
        open_to = {name: every[name] for name, reason in reasons.items() if not reason}
        moments: dict[str, Any] = dict.fromkeys(open_to)
        if self.method == "data-aware" and open_to:
            moments = observed.moments(model, open_to, context.calibration.inputs)
        plans = {n: plan(layer.weight.numpy(), counts.get(n, 0), moments[n]) for n, layer in open_to.items()}
        left = sum(count for name, count in counts.items() if name in every and name not in plans)
        chosen = ranks.choose(self, plans, left)
        edits = []
        for name, rank in chosen.items():
            factorize(model.network, name, rank, moments[name])
            edits.append(Factorize(layer=name, rank=rank[0]))
        said = {name: reason or "factors would save nothing" for name, reason in reasons.items() if name not in chosen}
        if not edits:
            text = "; ".join(f"{name}: {reason}" for name, reason in said.items())
            raise TechniqueRefused(f"no dense layer can be factorized ({text or 'there is none'})")
        for name in reasons:
            context.progress.note(
                f"{name}: " + (f"left as it is: {said[name]}" if name in said else f"rank {chosen[name][0]}")
            )
        return self.recover(model.with_edits(*edits), context)

    def _reason(self, layer: paddle.nn.Layer) -> str:
        """Why a dense layer is left alone; empty if it is not."""
        rows, columns = layer.weight.shape
        return (
            f"{rows}x{columns} is smaller than min_size {self.min_size}" if min(rows, columns) < self.min_size else ""
        )


def plan(weight: NDArray[Any], macs: int, moments: NDArray[Any] | None = None) -> Plan:
    """The ranks that a dense layer may get, and what they cost.

    Args:
        weight: [inputs, outputs].
        macs: the layer's multiply-accumulates; as often as it runs its weight's elements.
        moments: second moments of its inputs, see `svd.truncate`.
    """
    from paddlepress_components.factorization import svd
    from paddlepress_components.factorization.evbmf import evbmf_rank
    from paddlepress_components.factorization.ranks import Plan, squared

    rows, columns = weight.shape
    times = macs // weight.size

    def parameters(ranks: Ranks) -> int:
        return int(ranks[0] * (rows + columns))

    def evbmf() -> Ranks:
        return (evbmf_rank(weight),)

    spectrum = squared(svd.singular_values(weight, moments))
    return Plan((spectrum,), parameters, lambda ranks: times * parameters(ranks), weight.size, macs, evbmf)


def factorize(network: paddle.nn.Layer, name: str, ranks: Ranks, moments: NDArray[Any] | None = None) -> None:
    """Put a `LowRankLinear` with the truncated weight in the place of a dense layer."""
    import numpy as np

    from paddlepress.surgery.edits import find, replace
    from paddlepress.surgery.layers import LowRankLinear
    from paddlepress_components.factorization import svd

    layer = find(network, name)
    first, second = svd.truncate(layer.weight.numpy(), ranks[0], moments)
    factors = LowRankLinear.in_place_of(layer, ranks[0])
    factors.first.weight.set_value(first.astype(np.float32))
    factors.second.weight.set_value(second.astype(np.float32))
    if layer.bias is not None:
        factors.second.bias.set_value(layer.bias)
    factors.train() if network.training else factors.eval()
    replace(network, name, factors)
