"""Models to operate on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from surgical import Build, builder


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build a model of a registered architecture, or of a layer class given in its place."""
    return builder(monkeypatch)


@pytest.fixture(scope="module")
def build_shared() -> Iterator[Build]:
    """`build` for tests that hypothesis calls many times."""
    with pytest.MonkeyPatch.context() as patch:
        yield builder(patch)
