"""A registry's database: made whole or not at all, and refused in one line."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry.connection import connect, fingerprint


def test_a_home_that_cannot_hold_a_database(tmp_path: Path) -> None:
    """A home under a file, and a database file that is none, are told in one line with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match=r"file/mlflow\.db can't be reached: .*can't be made: File exists"):
        connect(tmp_path / "file")
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RegistryError, match=r"mlflow\.db can't be reached: file is not a database"):
        connect(tmp_path)


def test_tables_of_another_mlflow_are_not_touched(home: Path) -> None:
    """A database whose tables belong to another MLflow version is refused with the command that updates it."""
    with sqlite3.connect(home / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    with pytest.raises(RegistryError, match=r"Back it up, then: mlflow db upgrade sqlite:///"):
        connect(home)


def test_making_tables_that_is_cut_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while MLflow makes its tables leaves no database; a kill leaves a file that the next command replaces."""
    from mlflow.store.db import utils

    def interrupted(engine: Any) -> None:
        utils.InitialBase.metadata.create_all(engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            connect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["registry.lock"]
    (tmp_path / "mlflow.db.new").write_bytes(b"what a killed process left")
    (tmp_path / "mlflow.db.new-journal").write_bytes(b"and its journal")
    fingerprint(connect(tmp_path), "digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "registry.lock"]


@pytest.mark.parametrize("tables", [0, 3, 40])
def test_a_database_half_made_by_another_is_made_anew(home: Path, tables: int) -> None:
    """A database of which only some tables are there, and nothing in them, is completed rather than refused."""
    _halve(home / "mlflow.db", tables)
    fingerprint(connect(home), "digits")
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM registered_models").fetchone() == (1,)


def test_a_half_made_database_that_holds_something_is_kept(home: Path) -> None:
    """Where a line stands in any table nothing is thrown away: the command says in one line what is wrong."""
    _halve(home / "mlflow.db", 10)
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE mine (line TEXT)")
        database.execute("INSERT INTO mine VALUES ('precious')")
    with pytest.raises(RegistryError, match=r"mlflow\.db can't be reached: MLflow's tables can't be made: ") as caught:
        connect(home)
    assert "\n" not in str(caught.value)
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        assert database.execute("SELECT line FROM mine").fetchone() == ("precious",)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while the tables are made is told as such, and leaves no half-made database."""
    from mlflow.store.db import utils
    from sqlalchemy.exc import OperationalError

    def full(engine: Any) -> None:
        utils.InitialBase.metadata.create_all(engine)
        raise OperationalError("CREATE TABLE runs", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(utils, "_initialize_tables", full)
    with pytest.raises(RegistryError, match=r"the disk is full\. Make room"):
        connect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["registry.lock"]


def _halve(path: Path, tables: int) -> None:
    """Leave of a database so many tables, as a kill in the middle of MLflow's steps would."""
    with closing(sqlite3.connect(path)) as database, database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        database.execute("PRAGMA foreign_keys = OFF")
        for name in names:
            database.execute(f'DELETE FROM "{name}"')
        for name in names[tables:]:
            database.execute(f'DROP TABLE "{name}"')
        if "alembic_version" in names[:tables]:
            database.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")
    shutil.rmtree(path.parent / "artifacts", ignore_errors=True)
