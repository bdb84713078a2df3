"""The command line as a user meets it: a process with an exit code and two streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

COMMAND = [sys.executable, "-c", "from paddlepress_pipelines.cli import main; main()"]


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
