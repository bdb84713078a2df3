"""The example's technique under the contract that every technique stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from paddlepress_example.technique import PruneBelowDeviation

from paddlepress.techniques import Technique
from paddlepress.testing import TechniqueContract, size_of


class TestPruneBelowDeviation(TechniqueContract):
    """Everything that `TechniqueContract` asks, and that the artifact is smaller."""

    technique: ClassVar[Technique] = PruneBelowDeviation(quality=0.5)
    bad_fields: ClassVar[Mapping[str, Any]] = {"quality": 0}

    def assert_effect(self, before: Path, after: Path) -> None:
        assert size_of(after) < 0.8 * size_of(before)
