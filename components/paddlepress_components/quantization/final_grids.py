"""Before and after quantization-aware training: which layers are special, and the network on its final grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from paddlepress.network.edits import Quantize
from paddlepress.network.grids import put_on_grid
from paddlepress.network.layer_kinds import weighted_layers
from paddlepress.spec.tensors import Array
from paddlepress_components.quantization.layer_runs import trace_forward

if TYPE_CHECKING:
    from paddle import nn

    from paddlepress.network.model import Model
    from paddlepress_components.quantization.activation_grids import ActivationGrids


def ends(network: nn.Layer, example: NDArray[Any]) -> tuple[str, ...]:
    """The first and the last convolution or dense layer that an example goes through.

    Args:
        network: run once, in evaluation mode.
        example: float32 array [1, *shape].
    """
    calls = list(trace_forward(network, weighted_layers(network), example).calls)
    return (calls[0], calls[-1]) if calls else ()


def settle(
    model: Model, edits: Iterable[Quantize], scales: Mapping[str, Array], activations: ActivationGrids | None
) -> Model:
    """Put weights on the grids that training ended with, for good.

    Args:
        model: has the float weights that learned; changed in place.
        edits: the weights' grids.
        scales: of each weight, by its name.
        activations: has rounded activations, and goes on to; None: they are floats.

    Returns:
        The model with the edits recorded.
    """
    inputs = activations.inputs() if activations is not None else {}
    settled = []
    for edit in edits:
        if edit.layer in inputs:
            scale, zero_point = inputs[edit.layer]
            edit = edit.model_copy(update={"input_scale": scale, "input_zero_point": zero_point})
        put_on_grid(model, edit, scales[edit.parameter])
        settled.append(edit)
    return model.with_edits(*settled, *(activations.outputs() if activations is not None else ()))
