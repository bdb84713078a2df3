"""Quantizing layer by layer: what it costs as networks get deeper. `make benchmark` prints the figures."""

from __future__ import annotations

import time
from typing import Any

import pytest

from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context
from tests.benchmarks.test_speed import report

BLOCKS = (1, 3, 9)
"""In each of a ResNet's three stages: 8, 20 and 56 layers."""
FIELDS: dict[str, dict[str, Any]] = {
    "gptq": {"bits": 4, "rounding": "gptq"},
    "adaround": {"bits": 4, "rounding": "adaround", "adaround_steps": 50},
    "bias correction": {"bits": 8, "bias_correction": True},
}


@pytest.mark.parametrize("name", FIELDS)
def test_time_follows_the_number_of_layers(name: str) -> None:
    """A layer of a deep network costs about what one of a shallow network costs, in the processor's time."""
    from paddlepress_components.quantization.post_training import QuantizePostTraining

    technique, a_layer = QuantizePostTraining(activations="none", **FIELDS[name]), []
    for blocks in BLOCKS:
        reference = ArchitectureRef(name="resnet-cifar", arguments={"depth": 6 * blocks + 2})
        model = Model.build(reference, digits().inputs, digits().task)
        started = time.process_time()
        run(technique, model, digits_context(model))
        seconds, layers = time.process_time() - started, 6 * blocks + 2
        a_layer.append(seconds / layers)
        told = f"{seconds:.2f} s, {1000 * seconds / layers:.0f} ms a layer"
        report(f"{name}, ResNet of {layers} layers, 256 examples of 8x8", told)
    assert a_layer[-1] < 2 * a_layer[0]
