"""Weights that are made anew before each pass, such as under weight or spectral normalization, as plain weights.

Paddle's `weight_norm` (Salimans and Kingma, NeurIPS 2016, arXiv:1602.07868) and `spectral_norm` (Miyato et al., ICLR
2018, arXiv:1802.05957) keep the parameters of a weight under other names and compute it in a hook. A saved program
loses the hook, and there is no weight to cut, quantize or store. They serve the training that a network has behind
it; what it computes afterwards is that of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.core.errors import ArtifactError
from paddlepress.spec.tensors import Array

if TYPE_CHECKING:
    import paddle


@dataclass(frozen=True)
class Parametrization:
    """How a weight is computed from other parameters.

    Attributes:
        weight: the weight's name, such as `conv1.weight`.
        shapes: of the parameters that it is computed from, by their names.
        hook: Paddle's own, which computes it.
    """

    weight: str
    shapes: dict[str, tuple[int, ...]]
    hook: Any

    def value(self, parameters: Mapping[str, Array]) -> Array:
        """The weight for values of the parameters.

        Raises:
            ArtifactError: one has another shape.
        """
        import paddle

        for name, shape in self.shapes.items():
            if parameters[name].shape != shape:
                raise ArtifactError(f"{name} has shape {parameters[name].shape}, the network needs {shape}")
        holder = SimpleNamespace(
            **{name.rpartition(".")[2]: paddle.to_tensor(np.asarray(parameters[name])) for name in self.shapes}
        )
        with paddle.no_grad():
            return np.asarray(_computed(self.hook, holder).numpy())


def remove(network: paddle.nn.Layer) -> tuple[Parametrization, ...]:
    """Give each layer the weight that it computes with as a plain parameter, under the weight's own name.

    Returns:
        What was removed.
    """
    import paddle

    found = []
    for name, layer in network.named_sublayers(include_self=True):
        for key, hook in list(layer._forward_pre_hooks.items()):
            endings = _endings(hook)
            if not endings:
                continue
            prefix = f"{name}." if name else ""
            own = [hook.name + ending for ending in endings]
            shapes = {prefix + part: tuple(int(size) for size in getattr(layer, part).shape) for part in own}
            with paddle.no_grad():
                value = _computed(hook, layer)
            del layer._forward_pre_hooks[key]
            for part in own:
                delattr(layer, part)
            delattr(layer, hook.name)
            weight = layer.create_parameter(value.shape, dtype=value.dtype)
            weight.set_value(value)
            layer.add_parameter(hook.name, weight)
            found.append(Parametrization(prefix + hook.name, shapes, hook))
    return tuple(found)


def plain(state: Mapping[str, Array], removed: tuple[Parametrization, ...]) -> dict[str, Array]:
    """A state in which weights stand where it holds the parameters that they were computed from.

    Raises:
        ArtifactError: such a parameter has another shape than the network's.
    """
    found = dict(state)
    for parametrization in removed:
        if parametrization.weight not in state and parametrization.shapes.keys() <= state.keys():
            found[parametrization.weight] = parametrization.value(state)
            for name in parametrization.shapes:
                del found[name]
    return found


def _endings(hook: Any) -> tuple[str, ...]:
    """What the names of the parameters that a hook computes a weight from end in; none for other hooks."""
    from paddle.nn.utils.spectral_norm_hook import SpectralNorm
    from paddle.nn.utils.weight_norm_hook import WeightNorm

    if isinstance(hook, WeightNorm):
        return "_g", "_v"
    return ("_orig", "_u", "_v") if isinstance(hook, SpectralNorm) else ()


def _computed(hook: Any, holder: Any) -> paddle.Tensor:
    """The weight that a hook computes in evaluation mode."""
    from paddle.nn.utils.spectral_norm_hook import SpectralNorm

    if isinstance(hook, SpectralNorm):
        return hook.compute_weight(holder, do_power_iteration=False)
    return hook.compute_weight(holder)
