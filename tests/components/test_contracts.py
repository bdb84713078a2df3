"""Every technique that ships keeps the contract, and is listed here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from paddlepress import plugins
from paddlepress.artifact.store import load
from paddlepress.techniques import name_of
from paddlepress.testing import TechniqueContract, size_of
from paddlepress_components.factorization.dense import FactorizeDense
from paddlepress_components.pruning.prune_filters import PruneFilters
from paddlepress_components.quantization.post_training import QuantizePostTraining

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


class TestPruneFilters(TechniqueContract):
    technique: ClassVar = PruneFilters(ratio=0.5, **SHORT)
    bad_fields: ClassVar = {"ratio": 1.0, "importance": "l3", "round_to": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """Half the filters are gone, and with them the weights that read their outputs."""
        network = load(after).network
        assert network.conv1.weight.shape == [16, 1, 3, 3]
        assert network.conv2.weight.shape == [32, 16, 3, 3]
        assert network.fc1.weight.shape == [128, 128]
        assert size_of(after) < 0.5 * size_of(before)


class TestPruneFiltersByTaylor(TechniqueContract):
    technique: ClassVar = PruneFilters(ratio=0.4, importance="taylor", scope="global", neurons=True, **SHORT)
    bad_fields: ClassVar = {"taylor_batches": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """Filters and hidden units together are fewer by the ratio."""
        network = load(after).network
        left = network.conv1.weight.shape[0] + network.conv2.weight.shape[0] + network.fc1.weight.shape[1]
        assert left == round(0.6 * (32 + 64 + 128))


class TestQuantize8(TechniqueContract):
    technique: ClassVar = QuantizePostTraining()
    bad_fields: ClassVar = {"bits": 7, "percentile": 101, "granularity": "per-mille"}
    least_accuracy: ClassVar = 85.0

    def assert_effect(self, before: Path, after: Path) -> None:
        """Weights are codes of 7 bits, a byte each at most."""
        model = load(after)
        for name in model.quantized():
            assert np.abs(model.codes(name).codes).max() <= 63
        assert size_of(after) < 0.3 * size_of(before)


class TestQuantize16(TechniqueContract):
    technique: ClassVar = QuantizePostTraining(bits=16)
    bad_fields: ClassVar = {"bits": "sixteen"}
    least_accuracy: ClassVar = 85.0

    def assert_effect(self, before: Path, after: Path) -> None:
        """The file is half the size."""
        assert size_of(after) < 0.55 * size_of(before)


class TestFactorizeDense(TechniqueContract):
    technique: ClassVar = FactorizeDense(ratio=4, **SHORT)
    bad_fields: ClassVar = {"ratio": 0.5, "energy": 1.0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The wide dense layer is at least four times smaller, the classifier as it was."""
        fc1 = load(after).network.fc1
        assert fc1.first.weight.size + fc1.second.weight.size <= load(before).network.fc1.weight.size / 4
        assert load(after).network.fc2.weight.shape == [128, 10]


CONTRACTS = [contract for contract in TechniqueContract.__subclasses__() if contract.__module__ == __name__]


def test_every_technique_that_ships_has_a_contract() -> None:
    """A technique registered by this distribution and missing from this file fails."""
    ships = {
        name
        for name, entry in plugins.listed(plugins.TECHNIQUES).items()
        if entry.value.startswith("paddlepress_components.")
    }
    assert ships == {name_of(contract.technique) for contract in CONTRACTS}
