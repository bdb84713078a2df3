"""Reaching a registry, and saying in one line why one can't be reached."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry.connection import connect, fingerprint, in_use
from paddlepress.registry.location import redacted, tracking_uri
from paddlepress.registry.locking import exclusive


def test_connecting_leaves_the_surroundings_alone(home: Path) -> None:
    """A connection, and work through it, change neither MLflow's own choice of registry nor the variables for it."""
    import mlflow

    before = mlflow.get_tracking_uri()
    client = connect(home)
    with in_use(client):
        assert mlflow.get_tracking_uri() == tracking_uri(home) == os.environ["MLFLOW_TRACKING_URI"]
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_two_homes_are_two_registries(home: Path, empty_home: Path, tmp_path: Path) -> None:
    """One process can work with two registries without mixing them up."""
    other_home = tmp_path / "other"
    shutil.copytree(empty_home, other_home)
    client, other = connect(home), connect(other_home)
    fingerprint(client, "here")
    fingerprint(other, "there")
    assert [model.name for model in client.search_registered_models()] == ["here"]
    assert [model.name for model in other.search_registered_models()] == ["there"]


def test_a_fingerprint_tells_a_registry_from_its_successor(
    client: Any, home: Path, empty_home: Path, tmp_path: Path
) -> None:
    """The fingerprint stays while the registry does, and changes when the model or the whole registry is reset."""
    first = fingerprint(client, "digits")
    assert fingerprint(connect(home), "digits") == first
    client.delete_registered_model("digits")
    second = fingerprint(client, "digits")
    assert second != first
    reset = tmp_path / "reset"
    shutil.copytree(empty_home, reset)
    assert fingerprint(connect(reset), "digits") not in (first, second)
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    assert fingerprint(client, "digits") == second  # restored


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:secret@127.0.0.1:1",
        "postgresql+psycopg2://me:secret@127.0.0.1:1/mlflow",
        "file:///somewhere:secret@else",
        "mlruns",
    ],
)
def test_an_unreachable_registry_is_one_line(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that is absent or of an unusable kind is named without its password, in one line, and soon."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(RegistryError) as caught:
        connect(tmp_path / "home")
    message = str(caught.value)
    assert redacted(uri) in message
    assert "\n" not in message
    assert "127.0.0.1" not in uri or "secret" not in message
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and then stays silent ends in the same one line, not in minutes of waiting."""
    monkeypatch.setattr("paddlepress.registry.database.PROBE_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(RegistryError, match=f"the model registry {uri} can't be reached: .*timed out"):
            connect(tmp_path / "home")


def test_a_locked_database_is_waited_for(client: Any, home: Path) -> None:
    """A call that meets another process's write goes through once that is done, and not before."""
    released = threading.Event()
    blocker = sqlite3.connect(home / "mlflow.db", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN EXCLUSIVE")

    def release() -> None:
        time.sleep(0.5)
        released.set()
        blocker.execute("ROLLBACK")
        blocker.close()

    thread = threading.Thread(target=release)
    thread.start()
    found = fingerprint(client, "digits")
    assert released.is_set()
    thread.join()
    assert fingerprint(connect(home), "digits") == found


def test_one_holder_at_a_time(client: Any, home: Path) -> None:
    """While one process holds the registry another gives up after its patience, and says so."""
    code = (
        "import sys; from pathlib import Path; from paddlepress.registry.locking import hold\n"
        "with hold(sys.argv[1], None): print('held', flush=True); sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tracking_uri(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RegistryError, match="another process has held"), exclusive(client, patience_s=0.2):
        pass
    holder.communicate("\n")
    with exclusive(client, patience_s=5):
        pass
