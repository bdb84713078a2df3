"""Failures of MLflow and its databases as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from paddlepress.core.errors import PaddlepressError, RegistryError
from paddlepress.registry.location import redacted, unreachable

_AWAY_STATUS = (502, 503, 504)

# SQLite's words, and what a user can do about them.
_MEANINGS = {
    "database or disk is full": "the disk is full. Make room, then the same command goes on",
    "disk i/o error": "the disk failed or is full (SQLite: disk I/O error). Make room, then the same command goes on",
    "attempt to write a readonly database": "it is read-only for this user. Make it writable, or give another home",
    "unable to open database file": "its file can't be opened or made: is the folder there and writable?",
    "database disk image is malformed": "its file is damaged. Put back a copy of it, or move it away to begin anew",
    "file is not a database": "file is not a database. Move it away to begin anew",
}


def meaning(error: BaseException | str) -> str:
    """What a database's error means for its user; its own words where there is nothing to add."""
    text = str(getattr(error, "orig", None) or error)
    return next((meant for words, meant in _MEANINGS.items() if words in text.lower()), text)


def _is_of_disk(text: str) -> bool:
    """Whether an error is one that SQLite reports of its file, which trying again does not mend."""
    return any(words in text.lower() for words in _MEANINGS)


class RegistryAway(RegistryError):
    """A registry that may well be back in a moment."""


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Have a failure of MLflow or of its database come as one line.

    Raises:
        RegistryAway: the registry does not answer, or says that it can't now.
        RegistryError: any other failure.
    """
    try:
        yield
    except PaddlepressError:
        raise
    except Exception as error:
        found = _failure(uri, error)
        if found is None:
            raise
        raise found from None


def _failure(uri: str, error: BaseException) -> RegistryError | None:
    """What an exception says of the registry, in one line; None if it is not about the registry."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

    chain = [error, *_causes(error)]
    if not any(isinstance(one, MlflowException | SQLAlchemyError | requests.RequestException) for one in chain):
        return None
    lost = (requests.ConnectionError, requests.Timeout, OperationalError, InterfaceError)
    if "out-of-date database schema" in str(error):
        advice = f"mlflow db upgrade {redacted(uri)}"
        return unreachable(uri, f"its tables are of another MLflow version. Back it up, then: {advice}")
    if _is_of_disk(str(error)):
        return unreachable(uri, meaning(str(error)))
    away = any(isinstance(one, lost) for one in chain)
    status = error.get_http_status_code() if isinstance(error, MlflowException) else 0
    if away or status in _AWAY_STATUS:
        return RegistryAway(str(unreachable(uri, meaning(chain[-1]))))
    return unreachable(uri, meaning(error))


def _causes(error: BaseException) -> list[BaseException]:
    """What lies below an exception: the wrappings repeat the URL, and the innermost says what happened."""
    found: list[BaseException] = []
    inner = error.__cause__ or error.__context__
    while inner is not None and inner not in found:
        found.append(inner)
        inner = inner.__cause__ or inner.__context__
    return found
