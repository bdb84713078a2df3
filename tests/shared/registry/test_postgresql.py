"""The registry on a PostgreSQL server that the test starts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry.catalogue import rows
from paddlepress.registry.connection import connect, fingerprint, in_use
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.history import history
from paddlepress.registry.locking import exclusive
from paddlepress.registry.policy import Policy
from paddlepress.registry.promotion import promote, rollback

pytestmark = pytest.mark.services


def binaries() -> Path | None:
    """Where PostgreSQL's server programs are: on the PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else debian[-1].parent if debian else None


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URI of an empty database."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    # The server refuses to be root, and its user can't look into pytest's directories.
    as_user: list[str] = []
    root = Path(tempfile.mkdtemp(prefix="paddlepress-pg-"))
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        try:
            shutil.chown(root, "postgres", "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    data = str(root / "data")
    settings = f"-p {port} -h 127.0.0.1 -k {root} -c fsync=off"
    run("initdb", "-D", data, "-U", "registrar", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    try:
        run("pg_ctl", "-D", data, "-w", "-o", settings, "-l", str(root / "log"), "start")
        yield f"postgresql+psycopg2://registrar:secret@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(root, ignore_errors=True)


def test_the_road_on_postgresql(
    postgresql: str, variants: Any, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Register twice, promote, load and roll back work on PostgreSQL as on SQLite, artifacts under the home."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    client = connect(tmp_path)
    before = fingerprint(client, "digits")
    first = {name: variant.register(client) for name, variant in variants.items()}
    assert [variants[name].register(client).version for name in first] == [made.version for made in first.values()]
    assert fingerprint(client, "digits") == before
    policy = Policy(gates=(Gate(metric="accuracy", at_least=10),), objective=Objective(minimize="bytes"))
    assert promote(client, tmp_path, "digits", policy).variant == "student"
    assert promote(client, tmp_path, "digits", policy, "base").variant == "base"
    assert rollback(client, tmp_path, "digits").variant == "student"
    assert [entry.action for entry in history(client, "digits")] == ["promoted", "promoted", "rolled-back"]
    champion = next(row for row in rows(client, "digits") if "champion" in row.aliases)
    with in_use(client):
        import mlflow

        model = mlflow.pyfunc.load_model("models:/digits@champion")
    test = digits[1]
    accuracy = 100.0 * float((model.predict(test.images)["label"].to_numpy() == test.labels.astype(str)).mean())
    assert accuracy == champion.metrics["accuracy"]
    assert list((tmp_path / "artifacts" / "digits" / "models").iterdir())


def test_the_lock_holds_between_machines(postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with another home, as on another machine, waits for the holder of the registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    client = connect(tmp_path / "mine")
    code = (
        "import sys; from pathlib import Path; from paddlepress.registry.locking import hold\n"
        "with hold(sys.argv[1], Path(sys.argv[2])): print('held', flush=True); sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, postgresql, str(tmp_path / "theirs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RegistryError, match="has held the registry's database"), exclusive(client, patience_s=0.3):
        pass
    holder.kill()  # a holder that dies lets go
    holder.wait()
    with exclusive(client, patience_s=30):
        pass
