"""What Paddle is told to trace of a network."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.signature import TensorSpec


def input_specs(inputs: tuple[TensorSpec, ...], batch: int | None = None) -> list[Any]:
    """Inputs as Paddle's own specs, with a batch of this size; None: of any."""
    import paddle

    return [paddle.static.InputSpec([batch, *spec.shape], spec.dtype, spec.name) for spec in inputs]


def traceable(network: paddle.nn.Layer, specs: list[Any]) -> tuple[paddle.nn.Layer, list[Any]]:
    """A network that Paddle can trace, and its specs: one whose `forward(*inputs)` has no fixed arguments is called by
    another that is given them as one list."""
    import paddle

    parameters = inspect.signature(network.forward).parameters.values()
    if all(parameter.kind is not parameter.VAR_POSITIONAL for parameter in parameters):
        return network, specs

    class Called(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: list[Any]) -> Any:
            return self.network(*inputs)

    called = Called()
    called.training = network.training
    return called, [specs]
