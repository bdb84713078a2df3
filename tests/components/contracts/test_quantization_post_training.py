"""The contracts of the techniques that quantize a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from paddlepress.artifact.store import load
from paddlepress.evaluation.size import layers
from paddlepress.spec.tensors import spread_scale
from paddlepress.testing import TechniqueContract, size_of
from paddlepress_components.quantization.mixed import QuantizeMixed
from paddlepress_components.quantization.post_training import QuantizePostTraining


class TestQuantize8(TechniqueContract):
    technique: ClassVar = QuantizePostTraining()
    bad_fields: ClassVar = {
        "bits": 7,
        "percentile": 101,
        "granularity": "per-mille",
        "calibrator": "mean",
        "format": "float15",
        "group_size": 1,
    }

    def assert_effect(self, before: Path, after: Path) -> None:
        """Weights are codes of 7 bits, a byte each at most."""
        model = load(after)
        for name in model.quantized():
            assert np.abs(model.codes(name).codes).max() <= 63
        assert size_of(after) < 0.3 * size_of(before)


class TestQuantize4ByAdaRound(TechniqueContract):
    technique: ClassVar = QuantizePostTraining(bits=4, rounding="adaround", adaround_steps=40, bias_correction=True)
    bad_fields: ClassVar = {
        "adaround_steps": 0,
        "adaround_learning_rate": 0,
        "rounding": "up",
        "gptq_damping": 0,
        "gptq_order": "random",
    }

    def assert_effect(self, before: Path, after: Path) -> None:
        """Weights are the code below or above them, in 4 bits, and biases are others than before."""
        model, exact = load(after), load(before)
        for name, edit in model.quantized().items():
            weight = exact.state()[name]
            ratio = weight / spread_scale(model.scales[name], edit.axis, weight.shape)
            codes = model.codes(name).codes
            assert np.abs(codes).max() <= 7
            assert (np.abs(np.clip(ratio, -7, 7) - codes) <= 1).all()
            assert not np.array_equal(codes, np.clip(np.rint(ratio), -7, 7))
        assert not np.array_equal(model.state()["fc2.bias"], exact.state()["fc2.bias"])
        assert size_of(after) < 0.15 * size_of(before)


class TestQuantizeMixed(TechniqueContract):
    technique: ClassVar = QuantizeMixed(budget=2.5, bits=[8, 4, 2, 1])
    bad_fields: ClassVar = {"bits": [8, 3], "budget": 0, "size": "small", "sensitivity_examples": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """Layers have different bits, and weights take no more than the budget on average."""
        weights = [row for row in layers(after) if row.parameter == "weight"]
        assert len({edit.bits for edit in load(after).quantized().values()}) > 1
        assert 8 * sum(row.bytes for row in weights) <= 2.5 * sum(row.parameters for row in weights)
