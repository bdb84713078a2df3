"""The command line as a user meets it: a process with an exit code and two streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest

COMMAND = [sys.executable, "-c", "from paddlepress_pipelines.cli import main; main()"]


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def in_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> Done:
    """Run the command line to its end in the test's own process, which has imported what is slow to import."""
    from paddlepress_pipelines.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["paddlepress", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    return Done(int(str(ended.value.code or 0)), *capsys.readouterr())


def paddlepress(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=1700,
    )


def start(*arguments: str | Path, output: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start the command line and go on; what it prints goes to a file, or is left to be read."""
    with nullcontext(subprocess.PIPE) if output is None else output.open("w") as stdout:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env={**os.environ, "COLUMNS": "200", **environment},
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=listen,
        )


def listen() -> None:
    """Have a process obey Ctrl-C; one that a shell has started in the background would pass it by."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
