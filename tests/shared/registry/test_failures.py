"""Failures of MLflow and its database as one line."""

from __future__ import annotations

import sqlite3

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry.failures import RegistryAway, told

URI = "postgresql+psycopg2://me:secret@host/db"


def _raise(error: Exception, cause: Exception) -> None:
    raise error from cause


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("database or disk is full", "the disk is full"),
        ("disk I/O error", "the disk failed or is full"),
        ("attempt to write a readonly database", "it is read-only"),
    ],
)
def test_a_failing_disk_is_named(words: str, meant: str) -> None:
    """SQLite's words for a full or read-only disk, wrapped by MLflow, become one line that says what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    inner = OperationalError("INSERT INTO runs", {}, sqlite3.OperationalError(words))
    with pytest.raises(RegistryError, match=meant) as caught, told(URI):
        _raise(MlflowException(str(inner)), inner)
    assert not isinstance(caught.value, RegistryAway)
    assert "\n" not in str(caught.value)


def test_an_absent_registry_is_told_from_a_refusal() -> None:
    """A lost connection may come back, a refusal will not; neither message has the password or a second line."""
    import requests
    from mlflow.exceptions import MlflowException

    lost = requests.ConnectionError("no route\nto me:secret@host")
    with pytest.raises(RegistryAway, match=r"no route to") as caught, told(URI):
        _raise(MlflowException("API request failed"), lost)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(RegistryError, match="no such run") as caught, told(URI):
        raise MlflowException("no such run")
    assert not isinstance(caught.value, RegistryAway)


def test_other_errors_go_through() -> None:
    """What is not about the registry stays what it is."""
    with pytest.raises(ZeroDivisionError), told(URI):
        raise ZeroDivisionError
