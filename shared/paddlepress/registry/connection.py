"""Reaching the MLflow registry: an SQLite file under the home directory unless MLFLOW_TRACKING_URI says otherwise.

MLflow takes seconds to import, so nothing here imports it before a connection is asked for.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from paddlepress.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
PROBE_TIMEOUT_S = 5
_LOCKED_PATIENCE_S = 60.0
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https", "databricks")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")

# MLflow reports home, draws bars, prints links and guesses; a user can ask for each of them back.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}


def tracking_uri(home: Path) -> str:
    """Where the registry is: MLFLOW_TRACKING_URI if that is set, else `sqlite:///HOME/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{home.resolve() / DATABASE}"


def redacted(uri: str) -> str:
    """A URI that may be shown: without its password."""
    return re.sub(r"(://[^:/@\s]*):.*@", r"\1:***@", uri)


def quieten() -> None:
    """Ask MLflow for silence through its environment variables; those that are set already stay."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It logs a traceback for each database error; those come to the user as one line, from here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def connect(home: Path) -> MlflowClient:
    """A client of the registry; makes the home directory and the local database if they are missing.

    The client tries again when SQLite says that its file is locked by another process.

    Raises:
        RegistryError: the registry can't be reached or used; one line with its URI, without a password.
    """
    uri = tracking_uri(home)
    registry_uri = os.environ.get("MLFLOW_REGISTRY_URI", "").strip() or uri
    for candidate in dict.fromkeys((uri, registry_uri)):
        _check_scheme(candidate)
        if _kind(candidate) == "sqlite":
            _make_directory(candidate)
        if _kind(candidate) in _DATABASES:
            _probe_database(candidate)
    quieten()
    return _open(uri, registry_uri, home.resolve())


def fingerprint(client: MlflowClient, name: str) -> str:
    """What tells this incarnation of a registered model from one made after the registry was reset.

    Makes the experiment and the registered model `name` if they are missing.
    """
    experiment = client.get_experiment(ensure_experiment(client, name))
    model = ensure_model(client, name)
    return f"{experiment.experiment_id}-{experiment.creation_time}-{model.creation_timestamp}"


def check_name(kind: str, name: str) -> None:
    """Refuse a name that MLflow's names, filters and URIs could not carry.

    Raises:
        RegistryError: the name has other characters than letters, digits, `_`, `.` and `-`.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"{kind} {name!r} can't be registered. Valid: letters, digits, '_', '.', '-'; first a letter or digit"
        )


def ensure_experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment of that name, which is made, or restored, if it is not there."""
    from mlflow.exceptions import MlflowException

    check_name("the name", name)
    found = client.get_experiment_by_name(name)
    if found is None:
        root = _artifact_root(client.tracking_uri, getattr(client, "home", None))
        try:
            return str(client.create_experiment(name, artifact_location=f"{root.rstrip('/')}/{name}" if root else None))
        except MlflowException:  # another process was first
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def ensure_model(client: MlflowClient, name: str) -> Any:
    """The registered model of that name, which is made if it is not there."""
    from mlflow.exceptions import MlflowException

    check_name("the name", name)
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    try:
        client.create_registered_model(name)
    except MlflowException as error:  # another process was first
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_registered_model(name)


@contextmanager
def in_use(client: MlflowClient) -> Iterator[None]:
    """Within the block MLflow's own functions (`mlflow.pyfunc`, ...) work on the client's registry."""
    import mlflow

    variables = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    mlflow.set_registry_uri(client._registry_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def steady(call: Callable[[], T], patience_s: float = _LOCKED_PATIENCE_S) -> T:
    """Call, and call again while SQLite says that another process has locked its file.

    SQLite refuses at once, whatever its busy timeout, where waiting could deadlock; nothing was written then.

    Raises:
        RegistryError: the file stayed locked.
    """
    deadline = time.monotonic() + patience_s
    pause = 0.05
    while True:
        try:
            return call()
        except Exception as error:
            if "database is locked" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise RegistryError(
                    f"another process has kept the registry's database locked for {patience_s:.0f} s"
                ) from None
        time.sleep(pause)
        pause = min(1.0, pause * 1.6)


@cache
def _client_class() -> Any:
    from mlflow import MlflowClient

    class SteadyClient(MlflowClient):  # type: ignore[misc]
        """A client whose calls outlast another process's hold on an SQLite file."""

        home: Path | None = None

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name.startswith("_") or not callable(value):
                return value

            @wraps(value)
            def patient(*args: Any, **kwargs: Any) -> Any:
                return steady(lambda: value(*args, **kwargs))

            return patient

    return SteadyClient


def _kind(uri: str) -> str:
    return uri.split(":", 1)[0].split("+", 1)[0].lower()


def _check_scheme(uri: str) -> None:
    if "://" not in uri or _kind(uri) not in (*_DATABASES, *_SERVERS):
        if uri == "databricks":
            return
        raise RegistryError(
            f"the registry {redacted(uri)!r} is of no kind that MLflow can use. "
            f"Valid: sqlite:///FILE, postgresql+psycopg2://..., http(s)://..., {', '.join(_DATABASES[2:])}, databricks"
        )


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI, None for any other."""
    if _kind(uri) != "sqlite":
        return None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return Path(database).resolve() if database else None


def _make_directory(uri: str) -> None:
    path = sqlite_file(uri)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unreachable(uri, f"{path.parent} can't be made: {error.strerror}") from None


def _probe_database(uri: str) -> None:
    """Connect once, for MLflow itself would try for minutes; SQLite must be writable, too."""
    import sqlite3

    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    arguments = {"connect_timeout": PROBE_TIMEOUT_S} if _kind(uri) in ("postgresql", "mysql") else {}
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=arguments)
        try:
            steady(lambda: _touch(engine))
        finally:
            engine.dispose()
    except (ImportError, NoSuchModuleError) as error:
        hint = " Install paddlepress[postgresql] and write postgresql+psycopg2://" if "postgresql" in uri else ""
        raise _unreachable(uri, f"its driver is missing: {error}.{hint}") from None
    except (SQLAlchemyError, ArgumentError, sqlite3.Error) as error:
        raise _unreachable(uri, str(getattr(error, "orig", None) or error)) from None


def _touch(engine: Any) -> None:
    import sqlalchemy

    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Takes the write lock and reads the header: finds a read-only file and one that is no database.
            connection.connection.dbapi_connection.executescript("BEGIN IMMEDIATE; PRAGMA user_version; ROLLBACK;")
        else:
            connection.execute(sqlalchemy.text("SELECT 1"))


def _open(uri: str, registry_uri: str, home: Path) -> Any:
    """Make the tables where they are missing, one process at a time, and ask the registry one question."""
    from mlflow.exceptions import MlflowException

    from paddlepress.registry.locking import hold

    try:
        for place in dict.fromkeys((uri, registry_uri)):
            if _kind(place) in _DATABASES:
                with hold(place, home):
                    _make_tables(place, home)
        with _impatient_requests():
            client = _client_class()(tracking_uri=uri, registry_uri=registry_uri)
            client.home = home
            client.search_registered_models(max_results=1)
            return client
    except MlflowException as error:
        message = str(error) if _kind(uri) in _DATABASES else _innermost(error)
        if "out-of-date database schema" in message:
            message = f"its tables are of another MLflow version. Back it up, then: mlflow db upgrade {redacted(uri)}"
        raise _unreachable(uri, message) from None


def _make_tables(uri: str, home: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # A client would make them, too, but put the default experiment's artifacts under the working directory.
    steady(lambda: SqlAlchemyStore(uri, _artifact_root(uri, home)))


@contextmanager
def _impatient_requests() -> Iterator[None]:
    """MLflow asks an absent server for four minutes, which is right for work and wrong for a first question."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PROBE_TIMEOUT_S)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: before[name] or value for name, value in wanted.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)


def _artifact_root(uri: str, home: Path | None) -> str | None:
    """Where artifacts go: a server decides itself; for a database MLFLOW_DEFAULT_ARTIFACT_ROOT, else HOME/artifacts."""
    if _kind(uri) not in _DATABASES:
        return None
    chosen = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", "").strip()
    return chosen or ((home / ARTIFACTS).as_uri() if home is not None else None)


def _innermost(error: BaseException) -> str:
    """What is at the bottom of a failed request, such as a refused connection: the wrappings repeat the URL."""
    while error.__cause__ is not None or error.__context__ is not None:
        inner = error.__cause__ or error.__context__
        assert inner is not None
        error = inner
    return str(error)


def _unreachable(uri: str, reason: str) -> RegistryError:
    password = re.search(r"://[^:/@\s]*:(.*)@", uri)
    line = " ".join(reason.split())
    if password and password.group(1):
        line = line.replace(password.group(1), "***")
    return RegistryError(f"the model registry {redacted(uri)} can't be reached: {line[:300]}")
