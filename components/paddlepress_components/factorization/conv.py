"""The technique `factorize-conv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery
from paddlepress_components.factorization.fields import RankFields

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.edits import FactorizeConv as FactorizeConvEdit
    from paddlepress.network.model import Model
    from paddlepress.surgery.kernel_times import Work
    from paddlepress_components.factorization.ranks import Plan, Ranks


class FactorizeConv(Technique, RankFields, Recovery):
    """Split convolutions into chains of cheaper ones, by a low rank of their kernels.

    `tucker2` makes 1x1, kxk between fewer channels, 1x1; `cp` 1x1, depthwise kx1 and 1xk, 1x1; `spatial`
    kx1, 1xk; `channel-svd` kxk with fewer filters, 1x1. The factors are ordinary convolutions, and are pruned and
    quantized like any other. Together they are less work than the layer was, which is no less time by itself: a
    chain reads and writes more maps, and channels that fill no block of the runtime's kernels cost what whole blocks
    do. By `round_to: auto` ranks are such that ONNX Runtime is faster; another runtime may not be.

    A convolution is left as it is where factors would not be fewer numbers or would be more work, or by `round_to:
    auto` would take longer, as most with 16 channels do; where it has groups or fewer channels than
    `min_channels`; and where it is pruned or quantized already: its factors would be neither. Only where no other
    way leads to the share of `macs` that is asked for, chains are made that take longer. A 1x1 kernel is a matrix,
    which only `channel-svd` splits.

    Tucker-2 with variational Bayes after Kim et al., "Compression of Deep Convolutional Neural Networks for Fast
    and Low Power Mobile Applications", ICLR 2016, and Nakajima et al., JMLR 14, 2013; CP after Lebedev et al.,
    "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", ICLR 2015; spatial after
    Jaderberg, Vedaldi and Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC
    2014; channel SVD after Zhang, Zou, He and Sun, "Accelerating Very Deep Convolutional Networks", TPAMI 2016.
    """

    family: ClassVar[Family] = "factorization"
    paper: ClassVar[str] = (
        "Kim et al., ICLR 2016, arXiv:1511.06530; Lebedev et al., ICLR 2015, arXiv:1412.6553; "
        "Jaderberg et al., BMVC 2014, arXiv:1405.3866; Zhang et al., TPAMI 2016, arXiv:1505.06798"
    )

    method: Literal["tucker2", "cp", "spatial", "channel-svd"] = Field(
        default="tucker2", description="into which chain a convolution is split"
    )
    ratio: Annotated[float, When("energy", None), When("macs", None), When("latency", None), When("evbmf", False)] = (
        Field(default=2.0, gt=1, description="how many times smaller each layer's weight gets")
    )
    min_channels: int = Field(default=8, ge=1, description="leave convolutions of fewer input or output channels alone")
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as conv1")
    recovery_epochs: int = Field(default=2, ge=0, le=10_000, description="epochs of training afterwards; 0 for none")
    recovery_loss: Annotated[Literal["plain", "distilled"], When("recovery_epochs", ..., also=("plain",))] = Field(
        default="distilled", description="plain: learn from the labels; distilled: from the base model's outputs too"
    )

    @model_validator(mode="after")
    def _has_a_matrix(self) -> FactorizeConv:
        if self.evbmf and self.method == "cp":
            raise ValueError("evbmf finds the rank of a matrix, and method 'cp' has none: use ratio, energy or macs")
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddle import nn

        from paddlepress.network import edits
        from paddlepress_components.factorization import kernels
        from paddlepress_components.factorization.candidates import candidates, outcome

        found = candidates(model, nn.Conv2D, self.exclude, self._reason)
        plans = {
            name: kernels.plan(layer.weight.numpy(), self.method, found.places[name])
            for name, layer in found.layers.items()
        }
        chosen = self._ranks(found.layers, plans, found.fixed, context.seed)
        for sentence in outcome(found, chosen, "convolution"):
            context.progress.note(sentence)
        made = [edits.FactorizeConv(layer=name, method=self.method, ranks=rank) for name, rank in chosen.items()]
        for edit in context.progress.track(made, len(made), f"factorizing by {self.method}"):
            split(model.network, edit, context.seed)
        return self.recover(model.with_edits(*made), context)

    def _ranks(
        self, layers: Mapping[str, paddle.nn.Layer], plans: Mapping[str, Plan], fixed: Sequence[Work], seed: int
    ) -> dict[str, Ranks]:
        from paddlepress.surgery.kernel_times import load
        from paddlepress_components.factorization import kernels, ranks

        if self.method == "cp" and self.energy is not None:
            searched = {n: (kernels.cp_rank(layer.weight.numpy(), self.energy, seed),) for n, layer in layers.items()}
            runtime = load(self.processor)
            steps = {name: ranks.multiples(self, plan, runtime) for name, plan in plans.items()}
            rounded = {name: ranks.up(plans[name], rank, steps[name]) for name, rank in searched.items()}
            return {n: rank for n, rank in rounded.items() if ranks.worthwhile(self, plans[n], rank, runtime)}
        return ranks.choose_ranks(self, plans, fixed)

    def _reason(self, layer: paddle.nn.Layer) -> str:
        """Why a convolution can't be factorized; empty if it can."""
        from paddlepress.network.inserted_layers import LowRankConv2D

        try:
            LowRankConv2D.check(layer)
        except TypeError as error:
            return str(error)
        if tuple(layer._kernel_size) == (1, 1) and self.method != "channel-svd":
            return "its kernel is 1x1, which only channel-svd splits"
        least = min(layer._in_channels, layer._out_channels)
        return f"{least} channels are fewer than min_channels {self.min_channels}" if least < self.min_channels else ""


def split(network: paddle.nn.Layer, edit: FactorizeConvEdit, seed: int = 0) -> None:
    """Put the chain of an edit, with the factors of its weight, in the place of a convolution."""
    from paddlepress.network.edits import find
    from paddlepress_components.factorization.kernels import factors

    layer = find(network, edit.layer)
    weights = factors(layer.weight.numpy(), edit.method, edit.ranks, seed)
    bias = None if layer.bias is None else layer.bias.numpy()
    edit.replay(network)
    chain = find(network, edit.layer)
    for name, weight in weights.items():
        getattr(chain, name).weight.set_value(weight)
    if bias is not None:
        list(chain.children())[-1].bias.set_value(bias)
    chain.train() if network.training else chain.eval()
