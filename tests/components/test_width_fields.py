"""Fields that say which widths layers may have."""

from __future__ import annotations

from typing import Any

import pytest

from paddlepress.core.errors import UsageError
from paddlepress.techniques import technique


@pytest.mark.parametrize(("given", "taken"), [("auto", "auto"), (16, 16), ("16", 16)])
@pytest.mark.parametrize("name", ["prune-filters", "prune-neurons", "factorize-conv", "factorize-dense"])
def test_a_number_or_auto(name: str, given: Any, taken: Any) -> None:
    """Kubeflow passes the number as text."""
    assert technique(name, {"round_to": given}).model_dump()["round_to"] == taken


@pytest.mark.parametrize("given", [0, 1025, "wide", 1.5, True, None])
def test_anything_else_is_refused(given: Any) -> None:
    """In one line, with the bad value and what is valid."""
    with pytest.raises(UsageError, match=f"'round_to' is {given!r}: (must be auto, or a whole number|neither true)"):
        technique("prune-filters", {"round_to": given})


def test_one_budget() -> None:
    """Units are counted by one measure only."""
    with pytest.raises(UsageError, match=r"'macs' is 0\.5, which does nothing with latency 0\.5"):
        technique("prune-filters", {"macs": 0.5, "latency": 0.5})
    with pytest.raises(UsageError, match="macs and latency are set, but ranks are chosen by one of them"):
        technique("factorize-conv", {"macs": 0.5, "latency": 0.5})
    with pytest.raises(UsageError, match="'processor' is 'z80'"):
        technique("factorize-dense", {"processor": "z80"})
