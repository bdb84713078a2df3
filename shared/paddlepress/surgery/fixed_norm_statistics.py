"""Networks whose layer and group normalizations take fixed statistics, in place of their input's.

Removing units changes the statistics that such a norm takes over them, so the network differs from one
in which the units are only silenced. With the statistics held fixed it must not: that is how a cut
through a normalization is tried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import nn

from paddlepress.surgery.groups import Group, layer_of


class Statistics:
    """The mean and the deviation of each call of each norm, in the order of the calls."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[paddle.Tensor, paddle.Tensor]] = {}

    @contextmanager
    def used(self, network: nn.Layer, groups: Iterable[Group]) -> Iterator[None]:
        """Within it the norms that span units of some groups take the statistics of the first run under this object.

        In the first run they are those of the input: over the normalized axes of a layer norm, over
        everything but the batch of a group norm.
        """
        names = dict.fromkeys(layer_of(part.parameter) for group in groups if group.mixed for part in group.slices)
        layers = {name: layer for name, layer in network.named_sublayers() if name in names}
        norms = {name: layer for name, layer in layers.items() if isinstance(layer, nn.LayerNorm | nn.GroupNorm)}
        for name, layer in norms.items():
            layer.forward = self._instead(name, layer)
        try:
            yield
        finally:
            for layer in norms.values():
                del layer.forward  # the class's own is found again

    def _instead(self, name: str, layer: nn.Layer) -> Callable[[paddle.Tensor], paddle.Tensor]:
        usual: Any = layer.forward
        calls = iter(range(10**9))

        def forward(x: paddle.Tensor) -> paddle.Tensor:
            usual(x)  # fails where the layer's own sizes don't fit
            axes = list(range(x.ndim))[-len(layer._normalized_shape) :] if isinstance(layer, nn.LayerNorm) else None
            key = (name, next(calls))
            if key not in self._known:
                over = axes or list(range(1, x.ndim))
                self._known[key] = (x.mean(over, keepdim=True), x.std(over, keepdim=True) + 1e-3)
            mean, deviation = self._known[key]
            shape = layer._normalized_shape if axes else _channels(layer, x)
            y = (x - mean) / deviation
            y = y if layer.weight is None else y * layer.weight.reshape(shape)
            return y if layer.bias is None else y + layer.bias.reshape(shape)

        return forward


def _channels(layer: nn.GroupNorm, x: paddle.Tensor) -> list[int]:
    last = layer._data_format.endswith("C") and x.ndim > 2
    return [-1] if last else [-1] + [1] * (x.ndim - 2)
