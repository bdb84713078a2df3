"""The contracts of the techniques that quantize while they train."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from paddlepress.artifact.store import load
from paddlepress.network.edits import parameter
from paddlepress.testing import TechniqueContract, size_of
from paddlepress_components.quantization.aware_training import QuantizeAwareTraining
from paddlepress_components.quantization.share_weights import ShareWeights

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


class TestQuantizeAware4(TechniqueContract):
    technique: ClassVar = QuantizeAwareTraining(bits=4, **SHORT)
    bad_fields: ClassVar = {"bits": 3, "method": "guess", "ends_bits": 4, "percentile": 50, "recovery_epochs": 0}
    least_accuracy: ClassVar = 90.0

    def assert_effect(self, before: Path, after: Path) -> None:
        """Weights are codes of 4 bits, inputs are rounded to 8, and the file is an eighth in size."""
        model = load(after)
        assert len(model.quantized()) == 4
        for name, edit in model.quantized().items():
            codes = model.codes(name).codes
            assert np.abs(codes).max() <= 7
            assert np.unique(codes).size > 7
            assert edit.input_scale is not None
        assert size_of(after) < 0.15 * size_of(before)


class TestQuantizeAwareByLearnedSteps(TechniqueContract):
    technique: ClassVar = QuantizeAwareTraining(bits=2, method="lsq", **SHORT)
    bad_fields: ClassVar = {"granularity": "per-group", "activations": "int4"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """Weights are -1, 0 and 1 times a scale for each output, and the file shows it."""
        model = load(after)
        for name, edit in model.quantized().items():
            assert np.unique(model.codes(name).codes).tolist() == [-1, 0, 1]
            assert model.scales[name].size == parameter(model.network, name).shape[edit.axis]
        assert size_of(after) < 0.1 * size_of(before)


class TestShareWeights(TechniqueContract):
    technique: ClassVar = ShareWeights(bits=4, dense_bits=3, recovery_epochs=1, recovery_batch_size=32)
    bad_fields: ClassVar = {"bits": 9, "dense_bits": 0, "initialization": "best"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """A layer has no more different weights than its codebook has places, and the file shows it."""
        model = load(after)
        for name, edit in model.shared().items():
            assert edit.bits == (3 if name.startswith("fc") else 4)
            assert np.unique(parameter(model.network, name).numpy()).size == 2**edit.bits
        assert size_of(after) < 0.15 * size_of(before)
