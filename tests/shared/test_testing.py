"""The suite that a plugin's tests inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddlepress.testing import TechniqueContract


def test_a_contract_without_an_effect_fails(tmp_path: Path) -> None:
    """A contract that does not say what its technique does fails, and says what to implement."""
    with pytest.raises(pytest.fail.Exception, match="implement assert_effect"):
        TechniqueContract().assert_effect(tmp_path, tmp_path)
