"""One decision at a time on a registry."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK = "registry.lock"
PATIENCE_S = 300.0


@contextmanager
def exclusive(client: MlflowClient, home: Path | None = None, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold a registry for oneself.

    For an SQLite registry this holds between all processes that see its file (a lock file beside it), for
    PostgreSQL between all machines that use the database (an advisory lock). Behind an MLflow server there is
    nothing to hold: processes with the same `home` wait for each other, other machines do not. Reentrant within
    a thread only for lock files.

    Raises:
        RegistryError: somebody else held it for `patience_s` seconds.
    """
    with hold(client._registry_uri, home or getattr(client, "home", None), patience_s):
        yield


@contextmanager
def hold(uri: str, home: Path | None, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """What `exclusive` does, by the registry's URI."""
    from paddlepress.registry.location import sqlite_file

    if uri.startswith("postgresql"):
        with _advisory(uri, patience_s):
            yield
        return
    database = sqlite_file(uri)
    if database is not None:
        path = database.parent / LOCK
    else:
        path = (home or Path(tempfile.gettempdir())) / LOCK
    with _file(path, patience_s):
        yield


@contextmanager
def _file(path: Path, patience_s: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=patience_s, is_singleton=True):
            yield
    except Timeout:
        raise RegistryError(f"another process has held {path} for {patience_s:.0f} s") from None


@contextmanager
def _advisory(uri: str, patience_s: float) -> Iterator[None]:
    import sqlalchemy

    key = int.from_bytes(hashlib.sha256(b"paddlepress.registry").digest()[:8], "big", signed=True)
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        _await(connection, key, patience_s)
        try:
            yield
        finally:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": key})


def _await(connection: Any, key: int, patience_s: float) -> None:
    import sqlalchemy

    deadline = time.monotonic() + patience_s
    while not connection.execute(sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
        if time.monotonic() > deadline:
            raise RegistryError(f"another process has held the registry's database for {patience_s:.0f} s")
        time.sleep(0.1)
