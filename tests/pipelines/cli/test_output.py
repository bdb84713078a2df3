"""How wide the commands print."""

from __future__ import annotations

import pytest

from paddlepress_pipelines.cli.output import console


def test_a_file_or_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not printed on a terminal is not wrapped, so that no word is broken and lines can be searched."""
    monkeypatch.delenv("COLUMNS", raising=False)
    console().print("word " * 60)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_columns_decide(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A width that was asked for is kept."""
    monkeypatch.setenv("COLUMNS", "30")
    console().print("word " * 60)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 30
