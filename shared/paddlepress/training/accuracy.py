"""How many examples a network gets right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paddlepress.forward.outputs import logits

if TYPE_CHECKING:
    import paddle

    from paddlepress.data import Split


def accuracy(network: paddle.nn.Layer, split: Split, batch_size: int = 256) -> float:
    """The share of a split's examples whose largest logit is the label's, in percent; 0 for an empty split."""
    if len(split) == 0:
        return 0.0
    predicted = logits(network, split.inputs, batch_size).argmax(axis=1)
    return 100.0 * float(np.mean(predicted == split.labels))
