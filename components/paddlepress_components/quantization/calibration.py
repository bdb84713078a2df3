"""The ranges of layers' inputs, observed on calibration data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.core.errors import DataError, TechniqueRefused
from paddlepress.forward.layer_hooks import before
from paddlepress.forward.outputs import tensors_of
from paddlepress.spec.tensors import Inputs
from paddlepress_components.quantization.histograms import Calibrator, Histogram, find_range


def input_ranges(
    network: paddle.nn.Layer,
    layers: Mapping[str, paddle.nn.Layer],
    inputs: Inputs,
    percentile: float = 100.0,
    batch_size: int = 256,
    calibrator: Calibrator = "percentile",
) -> dict[str, tuple[float, float]]:
    """Between which values each layer's input lies.

    Two passes, in memory that does not grow with the data: one for the extremes, and, unless these are what is
    asked for, one for a histogram between them.

    Args:
        network: run in evaluation mode.
        layers: the layers to observe, by name.
        inputs: float32 array [n, *shape].
        percentile: share of the values to cover, in percent; as many are cut off at either end.
        batch_size: how many go through the network at once.
        calibrator: how the range is chosen, see `histograms`; `percentile` matters to that one only.

    Returns:
        `(low, high)` by layer name; layers that never ran are left out.

    Raises:
        DataError: there are no calibration data.
        TechniqueRefused: a layer receives values that are not finite.
    """
    if len(inputs) == 0:
        raise DataError("the calibration split is empty: quantizing inputs needs examples")
    extremes: dict[str, tuple[float, float]] = {}

    def widen(name: str, values: NDArray[Any]) -> None:
        least, largest = float(values.min()), float(values.max())
        if not (math.isfinite(least) and math.isfinite(largest)):
            raise TechniqueRefused(f"{name} receives values that are not finite on calibration data")
        low, high = extremes.get(name, (np.inf, -np.inf))
        extremes[name] = (min(low, least), max(high, largest))

    _observe(network, layers, inputs, batch_size, widen)
    if calibrator == "min-max" or (calibrator == "percentile" and percentile >= 100):
        return extremes
    histograms = {name: Histogram.empty(*ends) for name, ends in extremes.items()}
    _observe(network, layers, inputs, batch_size, lambda name, values: histograms[name].add(values))
    return {name: find_range(found, calibrator, percentile) for name, found in histograms.items()}


def _observe(
    network: paddle.nn.Layer,
    layers: Mapping[str, paddle.nn.Layer],
    inputs: Inputs,
    batch_size: int,
    see: Callable[[str, NDArray[Any]], None],
) -> None:
    def hook(name: str) -> Callable[[Any, Any], None]:
        return lambda layer, received: see(name, received[0].numpy())

    hooks = [before(layer, hook(name)) for name, layer in layers.items()]
    was_training = network.training
    network.eval()
    try:
        with paddle.no_grad():
            for start in range(0, len(inputs), batch_size):
                network(*tensors_of(inputs[start : start + batch_size]))
    finally:
        for one in hooks:
            one.remove()
        if was_training:
            network.train()
