"""The grids of activations while a network trains with rounded weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress.grid import input_grid
from paddlepress.surgery.edits import QuantizeOutput, find
from paddlepress.surgery.layers import float_inputs, simulate_quantized_input, simulate_quantized_output
from paddlepress.training.simulation import Simulation, simulated
from paddlepress_components.quantization.calibration import input_ranges
from paddlepress_components.quantization.histograms import Calibrator, Histogram, find_range
from paddlepress_components.quantization.residual_adds import output_ranges

if TYPE_CHECKING:
    from paddlepress.model import Model

Grid = tuple[float, int]
"""Scale and zero point of unsigned 8-bit integers."""

REREAD = (0.25, 0.5, 0.75)
"""After which shares of the steps the ranges are read again; the last quarter trains with grids that stay,
as Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, advises."""


@dataclass(frozen=True)
class Ranges:
    """How ranges are read from calibration data, see `calibration.input_ranges`.

    Attributes:
        examples: calibration inputs, float32 array [n, *shape].
        calibrator, percentile: which part of the values a range covers.
    """

    examples: NDArray[Any]
    calibrator: Calibrator
    percentile: float

    def of(self, values: NDArray[Any]) -> tuple[float, float]:
        """The range of a sample of values."""
        histogram = Histogram.empty(float(values.min()), float(values.max()))
        histogram.add(values)
        return find_range(histogram, self.calibrator, self.percentile)


class ActivationGrids:
    """Rounds layers' inputs, and what residual additions add, to grids that a training constraint renews.

    The ranges are those of calibration data, run through the network with its weights rounded as the
    simulation rounds them.

    Args:
        model: its activations are rounded from now on.
        layers: whose inputs, by name; those that never run are left out.
        ranges: how the ranges are read.
        weights: what rounds the weights.
        operands: layers whose outputs residual additions add, see `residual_adds.operands_to_round`: they are
            rounded too.

    Attributes:
        companion: holds the grids, so that a training that was killed goes on with them.

    Raises:
        DataError: there are no calibration data.
    """

    def __init__(
        self,
        model: Model,
        layers: Mapping[str, nn.Layer],
        ranges: Ranges,
        weights: Simulation,
        operands: Mapping[str, str],
    ) -> None:
        self._model, self._layers, self._ranges, self._weights = model, dict(layers), ranges, weights
        self._operands = dict(operands)
        self.companion = nn.Layer()
        self._inputs, self._outputs = (self._kept(found) for found in self._read())
        self._begun = False
        self._apply()

    def inputs(self) -> dict[str, Grid]:
        """The grid of each layer's input."""
        return {name: _grid(kept) for name, kept in self._inputs.items()}

    def outputs(self) -> list[QuantizeOutput]:
        """The grids of the layers' outputs that residual additions add; some are those of inputs."""
        grids = {name: _grid(kept) for name, kept in self._outputs.items()}
        grids |= {layer: _grid(self._inputs[reader]) for layer, reader in self._operands.items() if reader}
        return [
            QuantizeOutput(layer=layer, scale=grids[layer][0], zero_point=grids[layer][1], reader=reader)
            for layer, reader in self._operands.items()
        ]

    def __call__(self, step: int, total: int) -> None:
        if not self._begun:
            self._begun = True  # a resumed training has just read its grids
        elif step in {round(share * total) for share in REREAD}:
            for kept, found in zip((self._inputs, self._outputs), self._read(), strict=True):
                for name, grid in found.items():
                    kept[name].set_value(np.array(grid, np.float64))
        else:
            return
        self._apply()

    def _kept(self, grids: Mapping[str, Grid]) -> dict[str, paddle.Tensor]:
        kept = {name: paddle.to_tensor(np.array(grid, np.float64)) for name, grid in grids.items()}
        for tensor in kept.values():
            self.companion.register_buffer(f"grid_{len(self.companion._buffers)}", tensor)
        return kept

    def _read(self) -> tuple[dict[str, Grid], dict[str, Grid]]:
        """The grids of inputs, and of those outputs that have their own."""
        network, ranges = self._model.network, self._ranges
        own = [layer for layer, reader in self._operands.items() if not reader]
        with simulated(self._weights), float_inputs(network):
            inputs = input_ranges(
                network, self._layers, ranges.examples, ranges.percentile, calibrator=ranges.calibrator
            )
            outputs = output_ranges(self._model, own, ranges.examples, ranges.of) if own else {}
        return _grids(inputs), _grids(outputs)

    def _apply(self) -> None:
        for name, grid in self.inputs().items():
            simulate_quantized_input(self._layers[name], *grid)
        for edit in self.outputs():
            simulate_quantized_output(find(self._model.network, edit.layer), edit.scale, edit.zero_point)


def _grids(ranges: Mapping[str, tuple[float, float]]) -> dict[str, Grid]:
    return {name: input_grid(*ends) for name, ends in ranges.items()}


def _grid(kept: paddle.Tensor) -> Grid:
    scale, zero_point = kept.numpy().tolist()
    return scale, round(zero_point)
