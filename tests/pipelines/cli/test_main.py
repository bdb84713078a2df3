"""How the command line ends."""

from __future__ import annotations

import errno
import os

import pytest

from paddlepress.core.errors import UsageError
from paddlepress_pipelines import cli


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/home/registry.lock"),
            "/home/registry.lock: Read-only file sys",
        ),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "/home/mlflow.db"), "/home/mlflow.db: Permission denied"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no room is left on the disk at /"),
    ],
    ids=["read-only", "forbidden", "full"],
)
def test_what_the_disk_refuses_is_one_line(
    error: OSError, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever command it is that can't write."""
    (told,) = ended_with(error, 1, monkeypatch, capsys)
    assert told.startswith(f"paddlepress: error: {line}")


def test_each_mistake_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that holds several is told in full."""
    told = ended_with(UsageError("first", "second"), 2, monkeypatch, capsys)
    assert told == ["paddlepress: error: first", "paddlepress: error: second"]


def ended_with(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What is on standard error after a command has raised this."""

    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    return capsys.readouterr().err.splitlines()
