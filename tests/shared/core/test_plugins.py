"""Finding plugins."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from paddlepress import techniques
from paddlepress.core import plugins
from paddlepress.core.errors import UnknownName, UsageError
from paddlepress.core.fields import describe_fields


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points of a made-up group, in place of the installed ones."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
    plugins.listed.cache_clear()
    yield entries  # type: ignore[misc]
    plugins.listed.cache_clear()


def test_two_packages_with_one_name_are_an_error(registered: list[EntryPoint]) -> None:
    """Which of them was meant can't be known: both are named."""
    registered += [EntryPoint("prune", "a.module:Prune", plugins.TECHNIQUES)]
    registered += [EntryPoint("prune", "b.module:Prune", plugins.TECHNIQUES)]
    with pytest.raises(UsageError, match=r"technique 'prune'.*a\.module:Prune.*b\.module:Prune"):
        plugins.listed(plugins.TECHNIQUES)


def test_listing_imports_nothing(registered: list[EntryPoint]) -> None:
    """A plugin whose module is broken is listed all the same."""
    registered.append(EntryPoint("broken", "no.such.module:Thing", plugins.TECHNIQUES))
    assert list(plugins.listed(plugins.TECHNIQUES)) == ["broken"]


def test_what_is_no_technique_is_refused(registered: list[EntryPoint]) -> None:
    """An entry point must name a subclass of Technique."""
    registered.append(EntryPoint("path", "pathlib:Path", plugins.TECHNIQUES))
    with pytest.raises(UsageError, match="not a subclass"):
        techniques.technique_class("path")


def test_an_unknown_name_comes_with_the_known_ones() -> None:
    """And with the closest one."""
    with pytest.raises(
        UnknownName, match=r"unknown technique 'prune-weight'\. Did you mean 'prune-weights'\?.*distill"
    ):
        techniques.technique("prune-weight", {})


def test_fields_are_described_for_people() -> None:
    """Type, default, range and description of each field, its own before those it inherits."""
    rows = describe_fields(techniques.technique_class("prune-weights"))
    named = {row["field"]: row for row in rows}
    assert named["sparsity"]["default"] == "null"
    assert named["sparsity"]["range"] == "> 0, < 1"
    assert named["scope"]["type"] == "global | layer"
    assert all(row["description"] for row in rows)
    assert list(named).index("sparsity") < list(named).index("recovery_epochs")
