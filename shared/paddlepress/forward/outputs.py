"""What a network gives for many inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.spec.tensors import arrays_of

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.tensors import Inputs


def tensors_of(inputs: Any) -> tuple[paddle.Tensor, ...]:
    """What a network is called with, of inputs [n, *shape] in memory: a tensor for each."""
    import paddle

    return tuple(paddle.to_tensor(np.asarray(array)) for array in arrays_of(inputs))


def outputs_of(network: paddle.nn.Layer, inputs: Inputs, batch_size: int = 256) -> NDArray[np.float32]:
    """A network's outputs in evaluation mode, without gradients; its mode is restored afterwards.

    Args:
        network: gives one tensor.
        inputs: float32 [n, *shape], n at least 1; `NamedArrays` where it takes several.
        batch_size: how many go through the network at once.

    Returns:
        float32 array [n, ...].
    """
    import paddle

    was_training = network.training
    network.eval()
    try:
        with paddle.no_grad():
            parts = [
                network(*tensors_of(inputs[start : start + batch_size])).numpy()
                for start in range(0, len(inputs), batch_size)
            ]
    finally:
        if was_training:
            network.train()
    return np.concatenate(parts).astype(np.float32, copy=False)
