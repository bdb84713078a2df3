"""The contracts of the techniques that remove whole units."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from paddlepress.artifact.store import load
from paddlepress.testing import TechniqueContract, size_of
from paddlepress_components.pruning.prune_filters import PruneFilters
from paddlepress_components.pruning.prune_neurons import PruneNeurons

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


class TestPruneFilters(TechniqueContract):
    technique: ClassVar = PruneFilters(ratio=0.5, **SHORT)
    bad_fields: ClassVar = {
        "ratio": 1.0,
        "macs": 0,
        "importance": "apoz",
        "round_to": 0,
        "steps": 0,
        "taylor_batches": 0,
        "schedule": "soon",
    }

    def assert_effect(self, before: Path, after: Path) -> None:
        """Half the filters are gone, and with them the weights that read their outputs."""
        network = load(after).network
        assert network.conv1.weight.shape == [16, 1, 3, 3]
        assert network.conv2.weight.shape == [32, 16, 3, 3]
        assert network.fc1.weight.shape == [128, 128]
        assert size_of(after) < 0.5 * size_of(before)


class TestPruneNeurons(TechniqueContract):
    technique: ClassVar = PruneNeurons(ratio=0.75, importance="apoz", steps=2, **SHORT)
    bad_fields: ClassVar = {"ratio": 0, "importance": "size", "heads": "some", "scope": "planet"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """A quarter of the hidden units is left; convolutions and classes stay."""
        network = load(after).network
        assert network.conv2.weight.shape == [64, 32, 3, 3]
        assert network.fc1.weight.shape == [256, 32]
        assert network.fc2.weight.shape == [32, 10]
        assert size_of(after) < 0.7 * size_of(before)
