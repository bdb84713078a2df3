"""What `show` and `techniques` print."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddlepress.errors import DataError
from paddlepress_pipelines.cli import inspect


def test_text_in_a_table_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons in what a plugin or a model says of itself are no markup and no emoji."""
    inspect._print_table("", ["field", "valid"], [{"field": "[n, classes] :cat: [/x]", "valid": ["[/a]", "b"]}])
    printed = capsys.readouterr().out
    assert "[n, classes] :cat: [/x]" in printed
    assert "[/a]xb" in printed


def test_a_narrow_terminal_loses_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that does not fit is continued on the next line, not cut."""
    monkeypatch.setenv("COLUMNS", "20")
    inspect._print_table("", ["layer", "shape"], [{"layer": "conv1.long.name", "shape": [1568, 1024, 33]}])
    assert "…" not in capsys.readouterr().out


@pytest.mark.parametrize("location", ["s3://bucket/model", "s3://bucket/model/"])
def test_an_artifact_in_s3_is_a_folder(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With or without the slash at its end, a location in S3 is asked for as a prefix."""
    asked = []

    def fetch(location: str, into: Path) -> Path:
        asked.append(location)
        raise DataError("not here")

    monkeypatch.setattr("paddlepress.storage.fetch", fetch)
    with pytest.raises(DataError):
        inspect.show(location)
    assert asked == ["s3://bucket/model/"]
