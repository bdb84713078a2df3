"""Layers are quantized one after another, in passes that go through the network once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from paddle import nn
from paddle.nn.layer.conv import _ConvNd

from paddlepress.techniques import run
from paddlepress.testing import digits_context, trained
from paddlepress_components.quantization import layerwise
from paddlepress_components.quantization.post_training import QuantizePostTraining


def counted(network: nn.Layer, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Counter[str]]:
    """The number of a network's convolutions and dense layers, and how many examples go through such from now on."""
    layers = [layer for layer in network.sublayers() if isinstance(layer, _ConvNd | nn.Linear)]
    counts: Counter[str] = Counter()
    for kind in {type(layer) for layer in layers}:
        original = kind.forward

        def forward(layer: Any, x: Any, original: Any = original) -> Any:
            counts[type(layer).__name__] += x.shape[0]
            return original(layer, x)

        monkeypatch.setattr(kind, "forward", forward)
    return len(layers), counts


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"bits": 4, "rounding": "gptq"}, 2),  # as the pass goes on, and to read what the weights see
        ({"bits": 8, "bias_correction": True}, 4),  # in two networks, each as its pass goes on and to compare
        ({"bits": 4, "rounding": "gptq", "bias_correction": True}, 5),
    ],
    ids=["gptq", "bias", "gptq-bias"],
)
def test_a_deeper_network_costs_more_by_its_layers_alone(
    fields: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer sees each example a few times, and a few more when things are looked at: not once for each layer."""
    model, examples = trained("resnet-cifar"), 256
    layers, forwards = counted(model.network, monkeypatch)
    run(QuantizePostTraining(activations="none", **fields), model, digits_context(model))
    assert examples * layers <= sum(forwards.values()) <= (most * examples + 5) * layers


@pytest.mark.parametrize(
    "fields",
    [
        {"rounding": "gptq", "bias_correction": True},
        {"rounding": "adaround", "adaround_steps": 20},
        {"rounding": "gptq", "activations": "none"},
    ],
    ids=["gptq-bias", "adaround", "floats"],
)
def test_it_makes_no_difference_how_passes_are_made(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short each layer has a pass of its own: to the same bits."""
    model = trained("resnet-cifar")
    technique = QuantizePostTraining(bits=4, **fields)
    together = run(technique, model, digits_context(model))
    monkeypatch.setattr(layerwise, "MOST_BYTES", 0)
    assert run(technique, model, digits_context(model)).digest() == together.digest()
