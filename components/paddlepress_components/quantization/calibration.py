"""The ranges of layers' inputs, observed on calibration data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.errors import DataError

BINS = 4096


def input_ranges(
    network: paddle.nn.Layer,
    layers: Mapping[str, paddle.nn.Layer],
    inputs: NDArray[Any],
    percentile: float = 100.0,
    batch_size: int = 256,
) -> dict[str, tuple[float, float]]:
    """Between which values each layer's input lies.

    Two passes, in memory that does not grow with the data: one for the extremes, and, where the
    percentile is below 100, one for a histogram between them.

    Args:
        network: run in evaluation mode.
        layers: the layers to observe, by name.
        inputs: float32 array [n, *shape].
        percentile: share of the values to cover, in percent; as many are cut off at either end.
        batch_size: how many go through the network at once.

    Returns:
        `(low, high)` by layer name; layers that never ran are left out.

    Raises:
        DataError: there are no calibration data.
    """
    if len(inputs) == 0:
        raise DataError("the calibration split is empty: quantizing inputs needs examples")
    extremes: dict[str, tuple[float, float]] = {}

    def widen(name: str, values: NDArray[Any]) -> None:
        low, high = extremes.get(name, (np.inf, -np.inf))
        extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))

    _observe(network, layers, inputs, batch_size, widen)
    if percentile >= 100:
        return extremes
    counts = {name: np.zeros(BINS, np.int64) for name in extremes}

    def count(name: str, values: NDArray[Any]) -> None:
        counts[name] += np.histogram(values, bins=BINS, range=extremes[name])[0]

    _observe(network, layers, inputs, batch_size, count)
    return {name: percentile_range(counts[name], *extremes[name], percentile) for name in extremes}


def percentile_range(counts: NDArray[np.int64], low: float, high: float, percentile: float) -> tuple[float, float]:
    """The part of a histogram that is left when `100 - percentile` percent are cut off at either end.

    Args:
        counts: of equal bins from `low` to `high`.
        percentile: above 50, at most 100.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    below = np.cumsum(counts)
    cut = (1 - percentile / 100) * below[-1]
    first = int(np.searchsorted(below, cut, side="right"))
    last = int(np.searchsorted(below, below[-1] - cut, side="left"))
    return float(edges[min(first, last)]), float(edges[last + 1])


def _observe(
    network: paddle.nn.Layer,
    layers: Mapping[str, paddle.nn.Layer],
    inputs: NDArray[Any],
    batch_size: int,
    see: Callable[[str, NDArray[Any]], None],
) -> None:
    def hook(name: str) -> Callable[[Any, Any], None]:
        return lambda layer, received: see(name, received[0].numpy())

    hooks = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    was_training = network.training
    network.eval()
    try:
        with paddle.no_grad():
            for start in range(0, len(inputs), batch_size):
                network(paddle.to_tensor(inputs[start : start + batch_size]))
    finally:
        for one in hooks:
            one.remove()
        if was_training:
            network.train()
