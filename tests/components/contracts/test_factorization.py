"""The factorization family keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from paddlepress.artifact.store import load
from paddlepress.surgery.macs import macs
from paddlepress.testing import TechniqueContract
from paddlepress_components.factorization.conv import FactorizeConv
from paddlepress_components.factorization.dense import FactorizeDense

SHORT = {"recovery_epochs": 2, "recovery_batch_size": 32}


class TestFactorizeDense(TechniqueContract):
    technique: ClassVar = FactorizeDense(ratio=4, **SHORT)
    bad_fields: ClassVar = {"ratio": 0.5, "energy": 1.0, "method": "magic", "macs": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The wide dense layer is at least four times smaller, the classifier as it was."""
        fc1 = load(after).network.fc1
        assert fc1.first.weight.size + fc1.second.weight.size <= load(before).network.fc1.weight.size / 4
        assert load(after).network.fc2.weight.shape == [128, 10]


class TestFactorizeConv(TechniqueContract):
    technique: ClassVar = FactorizeConv(macs=0.5, **SHORT)
    bad_fields: ClassVar = {"ratio": 1.0, "min_channels": 0, "method": "fourier"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The convolutions do at most half of the work, in three layers where it was one."""
        full, left = (
            sum(n for name, n in macs(load(one)).items() if name.startswith("conv")) for one in (before, after)
        )
        assert left <= full / 2
        first, core, last = (layer.weight for layer in load(after).network.conv2.children())
        assert (first.shape[1], last.shape[0]) == (32, 64)
        assert core.shape[:2] == [last.shape[1], first.shape[0]]
