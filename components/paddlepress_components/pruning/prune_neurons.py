"""The technique `prune-neurons`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from paddlepress.techniques import Context
from paddlepress_components.pruning.structured import PruneUnits

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class PruneNeurons(PruneUnits):
    """Remove the least important hidden units of dense and recurrent layers, and whole heads of attention.

    The network gets really smaller: a removed unit takes its bias, its gates, its norm's entries and the
    inputs of the next layers with it. A recurrent stack has one hidden size, so a unit of it goes in
    every layer and direction at once.

    Importance: apoz, how seldom a unit's output is zero on the calibration data, after Hu et al., "Network
    Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures", 2016; the size of
    its weights (l1, l2); geometric-median, its distance to the other units (He et al., CVPR 2019); batch-norm,
    the scale that a norm gives it (Liu et al., ICCV 2017); taylor (Molchanov et al., CVPR 2019);
    output-gradient (Molchanov et al., ICLR 2017), which for heads is what Michel et al., "Are Sixteen Heads
    Really Better than One?", NeurIPS 2019, rank them by.
    """

    paper: ClassVar[str] = (
        "Hu et al., 2016, arXiv:1607.03250; Molchanov et al., CVPR 2019, arXiv:1906.10771, and ICLR 2017, "
        "arXiv:1611.06440; Michel et al., NeurIPS 2019, arXiv:1905.10650"
    )

    importance: Literal["l1", "l2", "geometric-median", "batch-norm", "taylor", "output-gradient", "apoz"] = Field(
        default="l1",
        description="l1, l2: size of the weights; geometric-median: distance to the other units; batch-norm: its "
        "scale; taylor: (gradient * weight)^2, output-gradient: |gradient * output|, on training batches; apoz: how "
        "often the output is not zero, on calibration data",
    )
    heads: bool = Field(default=False, description="remove whole heads of attention too")

    def apply(self, model: Model, context: Context) -> Model:
        return self.prune(model, context, ["neurons", "heads"] if self.heads else ["neurons"], self.importance)
