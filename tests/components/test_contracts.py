"""Every technique that ships keeps the contract, and is listed here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from paddlepress import plugins
from paddlepress.artifact.store import load
from paddlepress.techniques import name_of
from paddlepress.testing import TechniqueContract
from paddlepress_components.factorization.dense import FactorizeDense

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


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
