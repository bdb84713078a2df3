"""Reaching the MLflow registry: an SQLite file under the home directory unless MLFLOW_TRACKING_URI says otherwise.

MLflow takes seconds to import, so nothing here imports it before a connection is asked for.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import RegistryError
from paddlepress.registry import database
from paddlepress.registry.failures import told
from paddlepress.registry.location import DATABASES, check, kind, registry_uri, tracking_uri
from paddlepress.registry.retrying import steady

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "artifacts"
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
    uri, models_uri = tracking_uri(home), registry_uri(home)
    quieten()
    for candidate in dict.fromkeys((uri, models_uri)):
        check(candidate)
        if kind(candidate) in DATABASES:
            with told(candidate):
                database.prepare(candidate)
    return _open(uri, models_uri, home.resolve())


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


def _open(uri: str, models_uri: str, home: Path) -> Any:
    """Make the tables where they are missing, one process at a time, and ask the registry one question."""
    from paddlepress.registry.locking import hold

    for place in dict.fromkeys((uri, models_uri)):
        if kind(place) in DATABASES:
            with told(place), hold(place, home):
                database.make_tables(place, _artifact_root(place, home))
    with told(uri), _impatient_requests():
        client = _client_class()(tracking_uri=uri, registry_uri=models_uri)
        client.home = home
        client.search_registered_models(max_results=1)
        return client


@contextmanager
def _impatient_requests() -> Iterator[None]:
    """MLflow asks an absent server for four minutes, which is right for work and wrong for a first question."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(database.PROBE_TIMEOUT_S)}
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
    if kind(uri) not in DATABASES:
        return None
    chosen = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", "").strip()
    return chosen or ((home / ARTIFACTS).as_uri() if home is not None else None)
