"""A registry that somebody changed by hand: told, and mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paddlepress.registry import tags
from paddlepress.registry.catalogue import rows, versions
from paddlepress.registry.connection import connect, in_use
from paddlepress.registry.gates import Objective
from paddlepress.registry.history import history
from paddlepress.registry.integrity import audit
from paddlepress.registry.policy import Policy
from paddlepress.registry.promotion import promote, rollback

NAME = "digits"
POLICY = Policy(objective=Objective(minimize="bytes"))


def _run(client: Any, home: Path) -> None:
    client.delete_run(client.get_model_version(NAME, "2").run_id)


def _experiment(client: Any, home: Path) -> None:
    client.delete_experiment(client.get_experiment_by_name(NAME).experiment_id)


def _files(client: Any, home: Path) -> None:
    shutil.rmtree(home / "artifacts")


def _file(client: Any, home: Path) -> None:
    for path in home.rglob("artifacts/deployable/*"):
        path.write_bytes(path.read_bytes()[:-1])


def _evaluation(client: Any, home: Path) -> None:
    for path in home.rglob("evaluation.json"):
        path.unlink()


def _facts(client: Any, home: Path) -> None:
    _experiment(client, home)
    _evaluation(client, home)
    client.set_model_version_tag(NAME, "1", tags.METRICS, "{")
    client.set_model_version_tag(NAME, "2", tags.CHAIN, '[1, null, {"a": 1, "b": 2}]')


def _version(client: Any, home: Path) -> None:
    client.delete_model_version(NAME, "2")


@pytest.fixture
def champion(registry: Any, tmp_path: Path, variants: Any) -> tuple[Any, Path]:
    """A registry of base and student of this test's own, the student champion."""
    home = tmp_path / "home"
    client = connect(home)
    for variant in variants.values():
        variant.register(client)
    promote(client, home, NAME, POLICY)
    return client, home


@pytest.mark.parametrize("damage", [_facts, _files, _file, _version])
def test_what_was_lost_is_registered_again(
    damage: Callable[[Any, Path], None], champion: tuple[Any, Path], variants: Any
) -> None:
    """Whatever was deleted or overwritten, registering again leaves one sound version of each and a champion."""
    client, home = champion
    assert audit(client, NAME) == []
    damage(client, home)
    assert damage is _version or audit(client, NAME)
    for variant in variants.values():
        variant.register(client)
    assert audit(client, NAME) == []
    assert [row.variant for row in versions(client, NAME)] == ["base", "student"]
    promote(client, home, NAME, POLICY)
    reigning = rows(client, NAME)[-1]
    assert "champion" in reigning.aliases and reigning.metrics == variants["student"].evaluation.metrics
    with in_use(client):
        import mlflow

        assert mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert history(client, NAME)[-1].after == reigning.version


def test_a_version_that_took_a_place_has_its_past(champion: tuple[Any, Path], variants: Any) -> None:
    """A version registered again in the place of a lost one is champion, or rolled back, where that was."""
    client, home = champion
    promote(client, home, NAME, POLICY, "base")
    rollback(client, home, NAME)  # base, version 1, is out
    shutil.rmtree(home / "artifacts")
    for variant in variants.values():
        variant.register(client)
    base, student = rows(client, NAME)
    assert (base.version, student.version) == (3, 4)
    assert "baseline" in base.aliases and "champion" in student.aliases
    assert "student (version 2) had lost its run or files, and is registered again as version 4" in [
        entry.reason for entry in history(client, NAME)
    ]
    from paddlepress.registry.history import deposed

    assert list(deposed(history(client, NAME))) == [3]


def test_repair_needs_no_recipe(champion: tuple[Any, Path]) -> None:
    """Deleted runs come back, and notes that can't be read go; what needs files is told and left."""
    client, home = champion
    _run(client, home)
    client.set_registered_model_tag(NAME, tags.PENDING, "{")
    client.set_registered_model_tag(NAME, f"{tags.DECISION}0007", "{")
    told = audit(client, NAME)
    assert len(told) == 3 and not any(fault.repaired for fault in told)
    assert all(fault.repaired for fault in audit(client, NAME, repair=True))
    assert audit(client, NAME) == []
    _file(client, home)
    (fault,) = {fault.text for fault in audit(client, NAME, repair=True) if fault.version == 2}
    assert fault.startswith("version 2 of digits (student) has lost files: ")
    assert audit(client, NAME, only={"another recipe"}) == []


def test_moments_written_by_hand(client: Any, add: Callable[..., int]) -> None:
    """A time without a zone is UTC, and one to come, or none at all, does not make a version the newest for ever."""
    for text in ("2026-01-01", "9999-01-01T00:00:00+00:00", "yesterday"):
        version = add("int8", drop=0.1)
        client.set_model_version_tag(NAME, str(version), tags.REGISTERED_AT, text)
    found = versions(client, NAME)
    assert found[0].registered == datetime(2026, 1, 1, tzinfo=UTC)
    assert [row.registered for row in found[1:]] == [row.created for row in found[1:]]
