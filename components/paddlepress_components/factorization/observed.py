"""What a network's layers are given: over how many pixels they run, and the second moments of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.surgery.program import evaluating
from paddlepress_components.factorization.kernels import Places

if TYPE_CHECKING:
    from paddlepress.model import Model


def places(model: Model, layers: Mapping[str, paddle.nn.Layer]) -> dict[str, Places]:
    """Over how many pixels convolutions run, at one example; layers that never run are left out.

    A layer that runs several times counts as often.
    """
    found: dict[str, Places] = {}

    def see(name: str) -> Any:
        def hook(layer: Any, inputs: Any, output: Any) -> None:
            (height, width), (down, across) = inputs[0].shape[2:], output.shape[2:]
            before = found.get(name, Places(0, 0, 0))
            found[name] = Places(
                before.inputs + height * width, before.between + down * width, before.outputs + down * across
            )

        return hook

    hooks = [layer.register_forward_post_hook(see(name)) for name, layer in layers.items()]
    inputs = [paddle.zeros([1, *spec.shape], spec.dtype) for spec in model.inputs]
    try:
        with evaluating(model.network), paddle.no_grad():
            model.network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def moments(
    model: Model, layers: Mapping[str, paddle.nn.Layer], inputs: NDArray[Any], batch_size: int = 256
) -> dict[str, NDArray[np.float64]]:
    """The sum of `x x^T` over the inputs x of each dense layer, [features, features].

    Args:
        model: run in evaluation mode.
        layers: dense layers by name.
        inputs: examples, float32 [n, *shape].
        batch_size: how many go through the network at once.
    """
    found = {name: np.zeros((layer.weight.shape[0],) * 2, np.float64) for name, layer in layers.items()}

    def see(name: str) -> Any:
        def hook(layer: Any, received: Any) -> None:
            rows = received[0].reshape([-1, received[0].shape[-1]])
            found[name] += paddle.matmul(rows, rows, transpose_x=True).numpy()

        return hook

    hooks = [layer.register_forward_pre_hook(see(name)) for name, layer in layers.items()]
    try:
        model.predict(inputs, batch_size)
    finally:
        for hook in hooks:
            hook.remove()
    return found
