"""The grids of layers' inputs while a network trains with rounded weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress.grid import input_grid
from paddlepress.surgery.layers import float_inputs, simulate_quantized_input
from paddlepress.training.simulation import Simulation, simulated
from paddlepress_components.quantization.calibration import input_ranges
from paddlepress_components.quantization.histograms import Calibrator

if TYPE_CHECKING:
    from paddlepress.model import Model

REREAD = (0.25, 0.5, 0.75)
"""After which shares of the steps the ranges are read again; the last quarter trains with grids that stay,
as Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, advises."""


class InputGrids:
    """Rounds the inputs of layers from now on, to grids that a training constraint fits again now and then.

    The ranges are those of calibration data, run through the network with its weights rounded as the
    simulation rounds them.

    Args:
        model: its layers' inputs are rounded.
        layers: whose inputs, by name.
        examples: calibration inputs, float32 array [n, *shape].
        calibrator, percentile: how a range is read, see `calibration.input_ranges`.
        weights: what rounds the weights.

    Attributes:
        companion: holds the grids, so that a training that was killed goes on with them.
    """

    def __init__(
        self,
        model: Model,
        layers: Mapping[str, nn.Layer],
        examples: NDArray[Any],
        calibrator: Calibrator,
        percentile: float,
        weights: Simulation,
    ) -> None:
        self._network, self._layers, self._examples = model.network, dict(layers), examples
        self._calibrator, self._percentile, self._weights = calibrator, percentile, weights
        found = self._read()
        self._layers = {name: layer for name, layer in layers.items() if name in found}
        self._grids = {name: paddle.to_tensor(np.array(found[name], np.float64)) for name in self._layers}
        self.companion = nn.Layer()
        for number, grid in enumerate(self._grids.values()):
            self.companion.register_buffer(f"grid_{number}", grid)
        self._begun = False
        self._apply()

    def grids(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of each layer's input; layers that never ran are left out."""
        found = {name: grid.numpy().tolist() for name, grid in self._grids.items()}
        return {name: (scale, round(zero_point)) for name, (scale, zero_point) in found.items()}

    def __call__(self, step: int, total: int) -> None:
        if not self._begun:
            self._begun = True  # a resumed training has just read its grids
        elif step in {round(share * total) for share in REREAD}:
            for name, grid in self._read().items():
                self._grids[name].set_value(np.array(grid, np.float64))
        else:
            return
        self._apply()

    def _read(self) -> dict[str, tuple[float, int]]:
        with simulated(self._weights), float_inputs(self._network):
            ranges = input_ranges(
                self._network, self._layers, self._examples, self._percentile, calibrator=self._calibrator
            )
        return {name: input_grid(*span) for name, span in ranges.items()}

    def _apply(self) -> None:
        for name, (scale, zero_point) in self.grids().items():
            simulate_quantized_input(self._layers[name], scale, zero_point)
