"""How good a network is on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paddlepress.forward.outputs import outputs_of

if TYPE_CHECKING:
    import paddle

    from paddlepress.data import Split
    from paddlepress.tasks import Task


def score(network: paddle.nn.Layer, task: Task, split: Split, batch_size: int = 256) -> float:
    """The task's primary metric of a network in evaluation mode; 0 for an empty split.

    Args:
        network: gives the task's outputs.
        task: what it is for.
        split: inputs as the network takes them.
        batch_size: how many go through the network at once.
    """
    if len(split) == 0:
        return 0.0
    return task.score(outputs_of(network, split.inputs, batch_size), split.labels).value


def mean_loss(network: paddle.nn.Layer, task: Task, split: Split, batch_size: int = 256) -> float:
    """The task's loss of a network in evaluation mode, over all examples of a split; infinite if it is no number."""
    import numpy as np
    import paddle

    found = outputs_of(network, split.inputs, batch_size).astype(np.float64)
    with paddle.no_grad():
        loss = float(task.loss(paddle.to_tensor(found), paddle.to_tensor(split.labels)))
    return loss if np.isfinite(loss) else float("inf")
