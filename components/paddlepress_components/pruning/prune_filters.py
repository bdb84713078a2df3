"""The technique `prune-filters`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.techniques import Context
from paddlepress_components.pruning.structured import PruneUnits

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class PruneFilters(PruneUnits):
    """Remove the least important filters of convolutions, and all that depended on them.

    The network gets really smaller: a removed filter takes its bias, its norm's entries and the inputs of
    the next layers with it, on branches and residual connections too. Filters that have to go together are judged
    together.

    Less work is no less time by itself: ONNX Runtime computes blocks of channels, and 17 take twice as long as 16. By
    `round_to: auto` layers keep whole blocks, and those give way first of which it saves most; `latency` asks for a
    share of the time, estimated from measured times of the kernels, in place of a share of the work.

    Importance: the size of a filter's weights, l1 after Li et al., "Pruning Filters for Efficient ConvNets",
    ICLR 2017, or l2; geometric-median, its distance to the other filters, after He et al., "Filter Pruning
    via Geometric Median", CVPR 2019; batch-norm, the scale that a norm gives it, after Liu et al., "Network
    Slimming", ICCV 2017; taylor after Molchanov et al., "Importance Estimation for Neural Network Pruning",
    CVPR 2019; output-gradient after Molchanov et al., "Pruning Convolutional Neural Networks for Resource
    Efficient Inference", ICLR 2017, who also prune and train in turn.
    """

    paper: ClassVar[str] = (
        "Li et al., ICLR 2017, arXiv:1608.08710; He et al., CVPR 2019, arXiv:1811.00250; Liu et al., ICCV 2017, "
        "arXiv:1708.06519; Molchanov et al., CVPR 2019, arXiv:1906.10771, and ICLR 2017, arXiv:1611.06440"
    )

    importance: Literal["l1", "l2", "geometric-median", "batch-norm", "taylor", "output-gradient"] = Field(
        default="l1",
        description="l1, l2: size of the weights; geometric-median: distance to the other filters; batch-norm: "
        "its scale; taylor: (gradient * weight)^2, output-gradient: |gradient * output|, on training batches",
    )
    neurons: bool = Field(default=False, description="remove units of hidden dense layers too")

    def apply(self, model: Model, context: Context) -> Model:
        return self.prune(model, context, ["filters", "neurons"] if self.neurons else ["filters"], self.importance)
