"""The layers of a network that carry its weight: convolutions and dense layers, and the tables of embeddings.

Techniques choose among these by name; biases and norms are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from paddle import nn
from paddle.nn.layer.conv import _ConvNd

from paddlepress.core.errors import UsageError

_TRANSPOSED = (nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose)


def weighted_layers(network: nn.Layer, exclude: Iterable[str] = ()) -> dict[str, nn.Layer]:
    """Every convolution and dense layer by its dotted name, but the excluded ones.

    Args:
        network: the whole of it.
        exclude: shell patterns over layers' names, such as `fc*` or `features.0`.

    Raises:
        UsageError: a pattern that matches no layer; the message lists the layers.
    """
    kept = _not_excluded(network, exclude)
    return {name: layer for name, layer in kept.items() if isinstance(layer, (_ConvNd, nn.Linear))}


def embeddings(network: nn.Layer, exclude: Iterable[str] = ()) -> dict[str, nn.Layer]:
    """Every table that tokens are looked up in, by its layer's dotted name, but the excluded ones.

    Args:
        network, exclude: as of `weighted_layers`.

    Raises:
        UsageError: a pattern that matches no layer.
    """
    kept = _not_excluded(network, exclude)
    return {name: layer for name, layer in kept.items() if isinstance(layer, nn.Embedding)}


def _not_excluded(network: nn.Layer, exclude: Iterable[str]) -> dict[str, nn.Layer]:
    layers = {
        name: layer
        for name, layer in network.named_sublayers()
        if isinstance(layer, (_ConvNd, nn.Linear, nn.Embedding)) and layer.weight is not None
    }
    excluded: set[str] = set()
    for pattern in exclude:
        matched = {name for name in layers if fnmatchcase(name, pattern)}
        if not matched:
            raise UsageError(f"exclude: {pattern!r} matches no layer. Layers: {', '.join(layers) or 'none'}")
        excluded |= matched
    return {name: layer for name, layer in layers.items() if name not in excluded}


def output_axis(layer: nn.Layer) -> int:
    """The axis of a layer's weight that runs along its outputs.

    0 for a convolution [out, in, *kernel]; 1 for a dense layer [in, out] and a transposed convolution
    [in, out, *kernel].
    """
    return 0 if isinstance(layer, _ConvNd) and not isinstance(layer, _TRANSPOSED) else 1
