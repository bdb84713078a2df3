"""A first run that is killed while it makes the registry."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.kills import check, run


def _with_the_tables(way: signal.Signals) -> Callable[[subprocess.Popen[str], Path], None]:
    """Kill a run as soon as it has begun to make the database."""

    def kill(process: subprocess.Popen[str], home: Path) -> None:
        while process.poll() is None and not (home / "mlflow.db.new").exists():
            time.sleep(0.001)
        process.send_signal(way)

    return kill


def test_a_first_run_killed_with_its_database_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed twice while MLflow's tables are made, the third run finishes and leaves nothing behind."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "home"
    for way in (signal.SIGKILL, signal.SIGINT):
        run(home, _with_the_tables(way))
        assert not (home / "mlflow.db").exists()
    run(home, lambda process, home: None)
    assert check(home) == []
