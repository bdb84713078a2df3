"""Quantizing the layers of a model, each with the inputs that the layers quantized before it leave it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import paddle
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.forward.stepping import stepping
from paddlepress.network.edits import Quantize, QuantizeOutput, find
from paddlepress.network.grids import put_on_grid
from paddlepress.network.inserted_layers import simulate_quantized_input
from paddlepress.spec.tensors import Quantized
from paddlepress_components.quantization import adaround
from paddlepress_components.quantization.activation_grids import Ranges
from paddlepress_components.quantization.bias_correction import correct_bias, mean_shift
from paddlepress_components.quantization.calibration import input_ranges
from paddlepress_components.quantization.fields import tables
from paddlepress_components.quantization.layer_runs import ForwardTrace, layer_inputs, trace_forward
from paddlepress_components.quantization.shared_activation_grids import Grid, grids, ranges_at, regions_of
from paddlepress_components.quantization.weight_rounding import round_by_adaround, round_by_gptq, round_to_nearest

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.techniques import Context
    from paddlepress_components.quantization.fields import IntegerFields

Bits = Literal[8, 4, 2, 1]

MOST_BYTES = 2**30
"""How much memory passes that stop at layers may hold."""
_HELD = 3
"""How many of the largest outputs a network holds at one time: a residual block's input, and a layer's two ends."""


def quantize_layers(
    model: Model,
    context: Context,
    layers: Mapping[str, nn.Layer],
    bits: Mapping[str, Bits],
    fields: IntegerFields,
) -> Model:
    """Put the weights of layers, and their inputs where that is asked for, on grids of integers.

    Args:
        model: changed in place.
        context: calibration data, seed, and who is told.
        layers: its layers to quantize, by name.
        bits: of each layer's weight.
        fields: how.

    Returns:
        The model with the edits recorded, in the order of `layers`.

    Raises:
        DataError: calibration data are needed, and there are none.
    """
    inputs = context.calibration.inputs
    looked_up = tables(model, fields.exclude, fields.embedding_bits)  # first: what layers receive follows from them
    edits = {name: fields.grid_of(name, layer, bits[name]) for name, layer in layers.items()}
    outputs: list[QuantizeOutput] = []
    if fields.activations == "int8":
        grids, outputs = _activation_grids(model, context, layers, fields)
        edits |= {
            name: edits[name].model_copy(update={"input_scale": scale, "input_zero_point": zero_point})
            for name, (scale, zero_point) in grids.items()
        }
    if not fields.bias_correction and not any(fields.needs_data(edit.bits) for edit in edits.values()):
        for name, layer in layers.items():
            put_on_grid(model, edits[name], cover=fields.covers(edits[name].bits)[0])
            _round_input(layer, edits[name])
        return _finished(model, [*looked_up, *edits.values()], outputs)
    if len(inputs) == 0:
        raise DataError("the calibration split is empty: rounding by data and correcting biases need examples")
    work = _Layerwise(model, context, layers, edits, fields)
    for name in context.progress.track(work.turns(), len(layers), "quantizing layer by layer"):
        work.quantize(name)
    return _finished(model, [*looked_up, *edits.values()], outputs)


def _activation_grids(
    model: Model, context: Context, layers: Mapping[str, nn.Layer], fields: IntegerFields
) -> tuple[dict[str, Grid], list[QuantizeOutput]]:
    """The grids of layers' inputs, and of what is rounded for others, see `between_layers.grids`."""
    inputs = context.calibration.inputs
    ranges = Ranges(inputs, fields.calibrator, fields.percentile)
    seen = input_ranges(model.network, layers, inputs, percentile=fields.percentile, calibrator=fields.calibrator)
    regions = regions_of(model, seen, fields.residual_adds, context.progress)
    return grids(regions, seen, ranges_at(model, regions, inputs, ranges.of))


def _finished(model: Model, edits: Iterable[Quantize], outputs: Iterable[QuantizeOutput]) -> Model:
    for output in outputs:
        output.replay(model.network)
    return model.with_edits(*edits, *outputs)


def _round_input(layer: nn.Layer, edit: Quantize) -> None:
    if edit.input_scale is not None:
        simulate_quantized_input(layer, edit.input_scale, edit.input_zero_point)


@dataclass
class _Layerwise:
    """A model of which more and more is quantized, beside its float self."""

    model: Model
    context: Context
    layers: Mapping[str, nn.Layer]
    edits: Mapping[str, Quantize]
    fields: IntegerFields

    def __post_init__(self) -> None:
        self._inputs = self.context.calibration.inputs
        self._trace: ForwardTrace = trace_forward(self.model.network, self.layers, self._inputs[:1])
        self._float = self.model.copy().network
        self._masked = set(self.model.masked())
        self._stopped: dict[str, tuple[list[paddle.Tensor], list[paddle.Tensor]]] = {}
        for name, layer in self.layers.items():  # what a layer receives is rounded when its turn comes
            _round_input(layer, self.edits[name])

    def turns(self) -> Iterator[str]:
        """The layers as they run, all that run before being quantized; those that never do come last.

        Where each layer runs once and all calibration data fit into the memory together, passes over them stop at the
        layers in turn; else each layer has a pass of its own.
        """
        calls, trace = self._trace.calls, self._trace
        held = _HELD * trace.largest * len(self._inputs) * 4
        if any(count > 1 for count in calls.values()) or held > MOST_BYTES:
            yield from calls
        else:
            ran = {name: self.layers[name] for name in calls}
            passes = stepping(self.model.network, ran, self._inputs)
            for (name, given), exact in zip(passes, self._exact(calls), strict=False):
                self._stopped = {name: (given, exact)}
                yield name
        self._stopped = {}
        yield from (name for name in self.layers if name not in calls)

    def _exact(self, calls: Iterable[str]) -> Iterator[list[paddle.Tensor]]:
        """What each layer receives in the float network, if that is looked at."""
        if not (self.fields.bias_correction or self.fields.rounding == "adaround"):
            yield from ([] for _ in calls)
            return
        original = {name: find(self._float, name) for name in calls}
        for _, given in stepping(self._float, original, self._inputs):
            yield given

    def quantize(self, name: str) -> None:
        """Quantize one layer, when all that run before it are."""
        layer, edit = self.layers[name], self.edits[name]
        found = self._rounded(name) if name in self._trace.calls else None
        if found is not None:
            layer.weight.set_value(found.values())
        put_on_grid(self.model, edit, None if found is None else found.scale, self.fields.covers(edit.bits)[0])
        if self.fields.bias_correction and name in self._trace.calls:
            shift = mean_shift(layer, self._pairs(name))
            if not correct_bias(layer, shift, self._trace.norms.get(name)):
                self.context.progress.note(f"{name} has no bias to correct, and no batch normalization after it")

    def _rounded(self, name: str) -> Quantized | None:
        layer, edit, fields = self.layers[name], self.edits[name], self.fields
        masked, covers = edit.parameter in self._masked, fields.covers(edit.bits)
        if not fields.needs_data(edit.bits):
            return None
        if fields.rounding == "adaround":
            number = list(self._trace.calls).index(name)
            seed = int(np.random.SeedSequence((self.context.seed, number)).generate_state(1)[0])
            settings = adaround.Settings(
                fields.adaround_steps, fields.adaround_batch_size, fields.adaround_learning_rate, seed
            )
            return round_by_adaround(layer, edit, self._pairs(name), masked, covers, settings)
        if fields.rounding == "gptq":
            by_activity = fields.gptq_order == "activity"
            return round_by_gptq(layer, edit, self._received(name), masked, covers, fields.gptq_damping, by_activity)
        return round_to_nearest(layer, edit, self._received(name), masked, covers)

    def _received(self, name: str) -> Iterator[paddle.Tensor]:
        if name in self._stopped:
            return iter(self._stopped[name][0])
        return layer_inputs(self.model.network, self.layers[name], self._trace.calls[name], self._inputs)

    def _pairs(self, name: str) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
        """What a layer receives in the quantized network, and what it gives in the float one."""
        original = find(self._float, name)
        if name in self._stopped:
            exact = iter(self._stopped[name][1])
        else:
            exact = layer_inputs(self._float, original, self._trace.calls[name], self._inputs)
        for x, y in zip(self._received(name), exact, strict=True):
            with paddle.no_grad():
                target = original.forward(y)
            yield x, target
