"""Where the registry is, and how its URI may be shown. Imports nothing heavy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from paddlepress.core.errors import RegistryError

DATABASE = "mlflow.db"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks")

_USER = re.compile(r"://([^:/?#@\s]*:.*)@|://([^:/?#@\s]*)@")
_SECRET_KEY = re.compile(r"user|pass|pwd|token|secret|key|auth|cred|sig", re.IGNORECASE)
_QUERY_VALUE = re.compile(r"([?&;])([^=&;?]*)=([^&;]*)")


def tracking_uri(home: Path) -> str:
    """Where the registry is: MLFLOW_TRACKING_URI if that is set, else `sqlite:///HOME/mlflow.db`."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    # SQLAlchemy takes what follows `?` for options, and `%2F` for a slash; MLflow takes everything else as it is.
    path = str(home.resolve() / DATABASE).replace("%", "%25").replace("?", "%3F")
    return chosen or f"sqlite:///{path}"


def registry_uri(home: Path) -> str:
    """Where models are registered: MLFLOW_REGISTRY_URI if that is set, else where runs are."""
    return os.environ.get("MLFLOW_REGISTRY_URI", "").strip() or tracking_uri(home)


def kind(uri: str) -> str:
    """What answers at a URI, such as `sqlite`, `postgresql` or `http`."""
    return uri.split(":", 1)[0].split("+", 1)[0].lower()


def check(uri: str) -> None:
    """Refuse a URI that MLflow can't use.

    Raises:
        RegistryError: it is of no known kind, or its host or port can't be read.
    """
    if uri == "databricks":
        return
    if "://" not in uri or kind(uri) not in (*DATABASES, *SERVERS):
        raise RegistryError(
            f"the registry {redacted(uri)!r} is of no kind that MLflow can use. "
            f"Valid: sqlite:///FILE, postgresql+psycopg2://..., http(s)://..., {', '.join(DATABASES[2:])}, databricks"
        )
    if kind(uri) == "sqlite":
        return
    try:
        _ = urlsplit(uri).port
    except ValueError:  # its own words repeat the URI, and the password in it
        raise RegistryError(
            f"the host or port of the registry {redacted(uri)!r} can't be read. Valid: "
            "scheme://user:password@host:port; the port is 0 to 65535, and user and password have "
            "/ written as %2F, @ as %40, : as %3A, # as %23"
        ) from None


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI, None for any other."""
    if kind(uri) != "sqlite":
        return None
    database = unquote(uri.partition("://")[2].partition("?")[0].removeprefix("/"))
    return Path(database).resolve() if database and database != ":memory:" else None


def redacted(uri: str) -> str:
    """A URI that may be shown: without passwords, tokens and users given as options."""

    def user(match: re.Match[str]) -> str:
        name, colon, _ = (match[1] or match[2] or "").partition(":")
        return f"://{name}:***@" if colon else "://***@"  # a name alone can be a token

    def option(match: re.Match[str]) -> str:
        mark, key, value = match.groups()
        return f"{mark}{key}={'***' if _SECRET_KEY.search(key) else value}"

    return _QUERY_VALUE.sub(option, _USER.sub(user, uri, count=1))


def unreachable(uri: str, reason: str) -> RegistryError:
    """The error that says in one line why a registry can't be used; no secret of the URI is in it."""
    line = " ".join(reason.split())
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        line = line.replace(secret, "***")
    return RegistryError(f"the model registry {redacted(uri)} can't be reached: {line[:300]}")


def _secrets(uri: str) -> set[str]:
    """What must not be shown of a URI, as it is written there and as it is meant."""
    found = set()
    if match := _USER.search(uri):
        name, colon, password = (match[1] or match[2] or "").partition(":")
        found.add(password if colon else name)
    found |= {value for _, key, value in _QUERY_VALUE.findall(uri) if _SECRET_KEY.search(key)}
    found |= {value for key, value in parse_qsl(uri.partition("?")[2]) if _SECRET_KEY.search(key)}
    return {form for secret in found for form in (secret, unquote(secret), quote(secret, safe="")) if len(form) > 1}
