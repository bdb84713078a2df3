"""The contracts of the techniques that prune weights, and whole layers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from paddlepress.artifact.store import load
from paddlepress.network.edits import parameter
from paddlepress.surgery.macs import macs
from paddlepress.testing import TechniqueContract, size_of
from paddlepress_components.pruning.prune_layers import PruneLayers
from paddlepress_components.pruning.prune_weights import PruneWeights

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


class TestPruneWeights(TechniqueContract):
    technique: ClassVar = PruneWeights(sparsity=0.8, **SHORT)
    bad_fields: ClassVar = {
        "sparsity": 1.5,
        "scope": "planet",
        "threshold": 0,
        "schedule": "soon",
        "recovery_epochs": -1,
    }

    def assert_effect(self, before: Path, after: Path) -> None:
        """Exactly four fifths of the weights are zeros, and the file is much smaller."""
        model = load(after)
        weights = [parameter(model.network, name).numpy() for name in model.masked()]
        total = sum(weight.size for weight in weights)
        assert sum(np.count_nonzero(weight == 0) for weight in weights) == round(0.8 * total)
        assert size_of(after) < 0.35 * size_of(before)


class TestPruneLayers(TechniqueContract):
    technique: ClassVar = PruneLayers(sample=256, **SHORT)
    architecture: ClassVar = "resnet-cifar"
    bad_fields: ClassVar = {"count": 0, "ratio": 1.0, "candidates": "none", "sample": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The only block that keeps the shape is gone, with its weights and its multiply-accumulates."""
        whole, rest = load(before), load(after)
        gone = whole.state().keys() - rest.state().keys()
        assert gone == {name for name in whole.state() if name.startswith("stage1.0.")}
        assert macs(rest) == {name: count for name, count in macs(whole).items() if not name.startswith("stage1.0.")}
        assert size_of(after) < size_of(before) - 4 * 2 * 16 * 16 * 9 * 0.8
