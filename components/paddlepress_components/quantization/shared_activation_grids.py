"""The grids of what layers give each other: one for values that belong together, and rounded for who else reads them.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, appendix A, compute residual additions, concatenations and pools on integers so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.progress import Progress
from paddlepress.forward.layer_hooks import before
from paddlepress.network.edits import QuantizeOutput, find
from paddlepress.network.grids import input_grid
from paddlepress.network.inserted_layers import float_inputs
from paddlepress.surgery.quantization_regions import Place, Region, regions

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.spec.tensors import Inputs

Range = tuple[float, float]
Grid = tuple[float, int]
"""Scale and zero point of unsigned 8-bit integers."""


def regions_of(model: Model, layers: Collection[str], for_others: bool, progress: Progress) -> list[Region]:
    """See `surgery.regions`; none where the network can't be traced, which is noted.

    Args:
        model: not changed.
        layers: those with rounded inputs.
        for_others: whether values are to be rounded for others than these layers too.
        progress: told what could not be done.
    """
    try:
        found = regions(model, layers)
    except TechniqueRefused as refusal:
        progress.note(f"what layers give each other stays on floats: {refusal}")
        return []
    return found if for_others else [replace(region, places=()) for region in found if len(region.readers) > 1]


def ranges_at(
    model: Model,
    found: Sequence[Region],
    inputs: Inputs,
    read_range: Callable[[NDArray[Any]], Range],
) -> dict[Place, Range]:
    """The ranges of the values at all places of regions, over calibration data.

    Args:
        model: its activations are not rounded meanwhile.
        found: the regions.
        inputs: calibration data, float32 [n, *shape].
        read_range: the range to cover, from a sample of a place's values.
    """
    places = [place for region in found for place in region.places]
    kept: dict[Place, list[NDArray[Any]]] = {place: [] for place in places}
    random = np.random.default_rng(0)

    def keep(place: Place, given: Any) -> None:
        values = np.clip(given.numpy().reshape(-1), *place.bounds)
        # The extremes and a sample tell the range as well as all of it, in memory that stays small.
        sample = random.choice(values, min(values.size, 20_000), replace=False)
        kept[place].append(np.concatenate([sample, [values.min(), values.max()]]))

    def given_to(place: Place, layer: Any, inputs: tuple[Any, ...]) -> None:
        keep(place, inputs[0])

    hooks = []
    for place in places:
        layer = find(model.network, place.layer or place.reader)
        if place.layer:
            hooks.append(layer.register_forward_post_hook(lambda _, x, output, place=place: keep(place, output)))
        else:
            hooks.append(before(layer, partial(given_to, place)))
    try:
        with float_inputs(model.network):
            model.predict(inputs, batch_size=64) if places else None
    finally:
        for hook in hooks:
            hook.remove()
    return {place: read_range(np.concatenate(values)) for place, values in kept.items()}


def grids(
    found: Sequence[Region], inputs: Mapping[str, Range], outputs: Mapping[Place, Range]
) -> tuple[dict[str, Grid], list[QuantizeOutput]]:
    """The grids of layers' inputs, and of what is rounded for others, from their ranges.

    Args:
        found: the regions, each of which has one grid.
        inputs: the range of each layer's input, by its name.
        outputs: the range at each place of the regions.

    Returns:
        Scale and zero point of each layer's input, and an edit for each place.
    """
    chosen = {name: input_grid(*ends) for name, ends in inputs.items()}
    edits = []
    for region in found:
        readers = [name for name in region.readers if name in inputs]
        ranges = [*(inputs[name] for name in readers), *(outputs[place] for place in region.places)]
        if not ranges:
            continue
        scale, zero_point = input_grid(min(low for low, _ in ranges), max(high for _, high in ranges))
        chosen |= dict.fromkeys(readers, (scale, zero_point))
        edits += [
            QuantizeOutput(
                layer=place.layer, scale=scale, zero_point=zero_point, reader=place.reader, pooled=place.pooled
            )
            for place in region.places
        ]
    return chosen, edits
