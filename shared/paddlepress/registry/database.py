"""The tables of a registry that is a database, and why one can't be used."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from paddlepress.registry.failures import meaning
from paddlepress.registry.location import kind, sqlite_file, unreachable
from paddlepress.registry.retrying import steady

PROBE_TIMEOUT_S = 5


def prepare(uri: str) -> None:
    """Find out whether a database can be reached, before MLflow would try for minutes; makes an SQLite file's folder.

    Raises:
        RegistryError: its file can't be made or its driver is missing.
        sqlalchemy.exc.SQLAlchemyError: it can't be reached or used.
    """
    import sqlalchemy
    from sqlalchemy.exc import NoSuchModuleError

    path = sqlite_file(uri)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unreachable(uri, f"{path.parent} can't be made: {error.strerror}") from None
        if not path.exists():
            return
    arguments = {"connect_timeout": PROBE_TIMEOUT_S} if kind(uri) in ("postgresql", "mysql") else {}
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=arguments)
        try:
            steady(lambda: _touch(engine))
        finally:
            engine.dispose()
    except (ImportError, NoSuchModuleError) as error:
        hint = " Install paddlepress[postgresql] and write postgresql+psycopg2://" if "postgresql" in uri else ""
        raise unreachable(uri, f"its driver is missing: {error}.{hint}") from None
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise unreachable(uri, meaning(error)) from None


def make_tables(uri: str, artifact_root: str | None) -> None:
    """Make MLflow's tables where they are missing; the caller holds the registry.

    SQLite has no transaction around MLflow's eighty steps: tables are made in a file of another name, which then takes
    the place of the database. What a killed process of any program left half made holds nothing, and is replaced.

    Raises:
        RegistryError: they can't be made.
    """
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    # It makes the folder of the URI as it is written, beside the one that is meant where a path has a `%25`.
    utils._make_parent_dirs_if_sqlite = lambda uri: None
    path = sqlite_file(uri)
    try:
        if path is not None:
            _remove(_unfinished(path))
            if not path.exists() or path.stat().st_size == 0 or _is_half_made(path):
                _make_file(path)
        # A client would make them, too, but put the default experiment's artifacts under the working directory.
        steady(lambda: SqlAlchemyStore(uri, artifact_root))
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise unreachable(uri, f"MLflow's tables can't be made: {meaning(error)}") from None
    except OSError as error:
        raise unreachable(uri, f"MLflow's tables can't be made: {error.strerror or error}") from None


def _make_file(path: Path) -> None:
    import sqlalchemy
    from mlflow.store.db.utils import _initialize_tables

    new = _unfinished(path)
    # Made here, so that a folder that can't be written is told as such, and not by SQLite.
    new.touch()
    try:
        engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(new)))
        try:
            _initialize_tables(engine)
        finally:
            engine.dispose()
        with new.open("rb+") as stream:
            os.fsync(stream.fileno())
        _remove(path)  # with its journal, which must not be rolled back into the new file
        new.replace(path)
    finally:
        _remove(new)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _remove(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_half_made(path: Path) -> bool:
    """Whether a file has some of MLflow's tables and no line in them; a finished one has a default experiment."""
    import mlflow.store.model_registry.dbmodels.models
    import mlflow.store.tracking.dbmodels.models  # noqa: F401
    from mlflow.store.db.base_sql_model import Base

    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.DatabaseError):
        found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        own = {name for name in found if name in Base.metadata.tables or name.startswith(("alembic_", "_alembic_tmp_"))}
        # MLflow's steps themselves leave these two a line.
        filled = found - {"alembic_version", "workspaces", "sqlite_sequence"}
        return bool(own) and found <= own | {"sqlite_sequence"} and not any(_any(database, name) for name in filled)
    return False


def _any(database: sqlite3.Connection, table: str) -> bool:
    return bool(database.execute(f'SELECT EXISTS (SELECT 1 FROM "{table}")').fetchone()[0])


def _touch(engine: Any) -> None:
    import sqlalchemy

    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Takes the write lock and reads the header: finds a read-only file and one that is no database.
            connection.connection.dbapi_connection.executescript("BEGIN IMMEDIATE; PRAGMA user_version; ROLLBACK;")
        else:
            connection.execute(sqlalchemy.text("SELECT 1"))
