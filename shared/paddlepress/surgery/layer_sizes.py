"""What layers say of their own sizes, beside the shapes of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from paddlepress.network.edits import Size
from paddlepress.surgery.norm_rules import whole_groups

if TYPE_CHECKING:
    import paddle


@dataclass(frozen=True)
class Before:
    """What has to be known of a layer from before a cut.

    Attributes:
        multiplier: filters per channel of a convolution that keeps its channels apart; None for any other layer.
    """

    multiplier: int | None


def before_cut(layer: paddle.nn.Layer) -> Before:
    """What has to be known of a layer from before a cut."""
    groups = getattr(layer, "_groups", 1)
    depthwise = _is_convolution(layer) and groups > 1 and groups == layer._in_channels
    return Before(int(layer._out_channels) // int(groups) if depthwise else None)


def after_cut(layer: Any, before: Before) -> dict[str, Size]:
    """What a layer has to say of its own sizes, from the shapes its parameters have now.

    Returns:
        Attribute -> value, only those that the layer has.
    """
    from paddle import nn

    if _is_convolution(layer):
        return _convolution(layer, before)
    if isinstance(layer, nn.LayerNorm):
        return _layer_norm(layer)
    if isinstance(layer, nn.GroupNorm):
        return _group_norm(layer)
    found: dict[str, Size] = {}
    for attribute, parameter, axis in (
        ("in_features", "weight", 0),
        ("out_features", "weight", 1),
        ("_embedding_dim", "weight", 1),
        ("_num_features", "_mean", 0),
        ("_num_features", "scale", 0),
        ("input_size", "weight_ih", 1),
        ("hidden_size", "weight_hh", 1),
        ("input_size", "weight_ih_l0", 1),
        ("hidden_size", "weight_hh_l0", 1),
    ):
        value = layer._parameters.get(parameter)
        if hasattr(layer, attribute) and value is not None and len(value.shape) > axis:
            found[attribute] = int(value.shape[axis])
    if isinstance(layer, nn.Embedding):
        found["_size"] = tuple(int(size) for size in layer.weight.shape)
    return found


def _is_convolution(layer: Any) -> bool:
    return all(hasattr(layer, name) for name in ("weight", "_groups", "_in_channels", "_out_channels", "_kernel_size"))


def _convolution(layer: Any, before: Before) -> dict[str, Size]:
    from paddle import nn

    first, second = (int(size) for size in layer.weight.shape[:2])
    if isinstance(layer, nn.Conv1DTranspose | nn.Conv2DTranspose | nn.Conv3DTranspose):
        groups = layer._groups if before.multiplier is None else first
        return {"_in_channels": first, "_out_channels": second * groups, "_groups": groups}
    groups = layer._groups if before.multiplier is None else first // before.multiplier
    return {"_in_channels": second * groups, "_out_channels": first, "_groups": groups}


def _layer_norm(layer: Any) -> dict[str, Size]:
    """Its units lie along the first of its axes; its scale and shift have an entry for each of all their elements."""
    length = next(int(value.shape[0]) for value in layer._parameters.values() if value is not None)
    rest = [int(size) for size in layer._normalized_shape[1:]]
    return {"_normalized_shape": (length // prod(rest), *rest)}


def _group_norm(layer: Any) -> dict[str, Size]:
    channels = next(int(value.shape[0]) for value in layer._parameters.values() if value is not None)
    groups, members = int(layer._num_groups), int(layer._num_channels) // int(layer._num_groups)
    return {
        "_num_channels": channels,
        "_num_groups": channels // members if whole_groups(groups, members) else groups,
    }
