"""Activations rounded in quantization-aware training, and the grids that they are rounded to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress.network.edits import QuantizeOutput
from paddlepress.network.inserted_layers import float_inputs, simulate_quantized_input
from paddlepress.surgery.quantization_regions import Region
from paddlepress.training.hooks import Hook, passing
from paddlepress_components.quantization.calibration import input_ranges
from paddlepress_components.quantization.histograms import Calibrator, Histogram, find_range
from paddlepress_components.quantization.shared_activation_grids import Grid, grids, ranges_at

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.spec.tensors import Inputs

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

    examples: Inputs
    calibrator: Calibrator
    percentile: float

    def of(self, values: NDArray[Any]) -> tuple[float, float]:
        """The range of a sample of values."""
        histogram = Histogram.empty(float(values.min()), float(values.max()))
        histogram.add(values)
        return find_range(histogram, self.calibrator, self.percentile)


class ActivationGrids(Hook):
    """Rounds layers' inputs, and what others read, to grids that it renews as training goes on.

    The ranges are those of calibration data, run through the network with its weights rounded as the
    hook of theirs rounds them.

    Args:
        model: its activations are rounded from now on.
        layers: whose inputs, by name; those that never run are left out.
        ranges: how the ranges are read.
        weights: what rounds the weights.
        regions: the values that have one grid, see `surgery.regions`.

    Raises:
        DataError: there are no calibration data.
    """

    def __init__(
        self,
        model: Model,
        layers: Mapping[str, nn.Layer],
        ranges: Ranges,
        weights: Hook,
        regions: Sequence[Region],
    ) -> None:
        self._model, self._layers, self._ranges, self._weights = model, dict(layers), ranges, weights
        self._regions = list(regions)
        self.auxiliary = self._holder = nn.Layer()
        inputs, self._edits = self._read()
        self._inputs = self._kept(inputs)
        self._outputs = self._kept(_by_number(self._edits))
        self._begun = False
        self._apply()

    def inputs(self) -> dict[str, Grid]:
        """The grid of each layer's input."""
        return {name: _grid(kept) for name, kept in self._inputs.items()}

    def outputs(self) -> list[QuantizeOutput]:
        """What is rounded for others, on the grids of today."""
        found = [_grid(kept) for kept in self._outputs.values()]
        return [
            edit.model_copy(update={"scale": scale, "zero_point": zero_point})
            for edit, (scale, zero_point) in zip(self._edits, found, strict=True)
        ]

    def after_step(self, step: int, total: int) -> None:
        if not self._begun:
            self._begun = True  # a resumed training has just read its grids
        elif step in {round(share * total) for share in REREAD}:
            inputs, edits = self._read()
            for kept, found in ((self._inputs, inputs), (self._outputs, _by_number(edits))):
                for name, grid in found.items():
                    kept[name].set_value(np.array(grid, np.float64))
        else:
            return
        self._apply()

    def _kept(self, grids: Mapping[str, Grid]) -> dict[str, paddle.Tensor]:
        kept = {name: paddle.to_tensor(np.array(grid, np.float64)) for name, grid in grids.items()}
        for tensor in kept.values():
            self._holder.register_buffer(f"grid_{len(self._holder._buffers)}", tensor)
        return kept

    def _read(self) -> tuple[dict[str, Grid], list[QuantizeOutput]]:
        """The grids of inputs, and of what is rounded for others."""
        network, ranges = self._model.network, self._ranges
        with passing(self._weights), float_inputs(network):
            inputs = input_ranges(
                network, self._layers, ranges.examples, ranges.percentile, calibrator=ranges.calibrator
            )
            outputs = ranges_at(self._model, self._regions, ranges.examples, ranges.of)
        return grids(self._regions, inputs, outputs)

    def _apply(self) -> None:
        for name, grid in self.inputs().items():
            simulate_quantized_input(self._layers[name], *grid)
        for edit in self.outputs():
            edit.replay(self._model.network)


def _by_number(edits: Sequence[QuantizeOutput]) -> dict[str, Grid]:
    return {str(number): (edit.scale, edit.zero_point) for number, edit in enumerate(edits)}


def _grid(kept: paddle.Tensor) -> Grid:
    scale, zero_point = kept.numpy().tolist()
    return scale, round(zero_point)
