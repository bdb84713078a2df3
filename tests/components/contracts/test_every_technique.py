"""No technique ships without keeping the contract."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from paddlepress.techniques import name_of
from paddlepress.testing import TechniqueContract
from paddlepress_components.documentation import shipped


def test_every_technique_that_ships_has_a_contract() -> None:
    """A technique registered by this distribution and missing from the suites of this folder fails."""
    here = Path(__file__)
    modules = [path.stem for path in here.parent.glob("test_*.py") if path != here]
    suites = [import_module(f"tests.components.contracts.{name}") for name in modules]
    tested = {
        name_of(found.technique)
        for suite in suites
        for found in vars(suite).values()
        if isinstance(found, type) and issubclass(found, TechniqueContract) and found is not TechniqueContract
    }
    assert tested == set(shipped())
