"""What `show` and `techniques` print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from paddlepress.core.errors import DataError, UnknownName
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

    monkeypatch.setattr("paddlepress.core.storage.fetch", fetch)
    with pytest.raises(DataError):
        inspect.show(location)
    assert asked == ["s3://bucket/model/"]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with room for whole lines."""
    monkeypatch.setenv("COLUMNS", "200")


def test_techniques_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str], wide: None) -> None:
    """The list says of each technique its family and, in a sentence, what it does."""
    inspect.techniques()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("factorize-dense"))
    assert "factorization" in line
    assert "Split dense layers into two thinner ones" in line


def test_an_architecture_is_shown_with_its_arguments(capsys: pytest.CaptureFixture[str], wide: None) -> None:
    """One architecture is shown with what it is, and each argument with its default and its meaning."""
    inspect.architectures("resnet-cifar")
    printed = capsys.readouterr().out
    assert "The residual network for small images" in printed
    (depth,) = (line for line in printed.splitlines() if line.startswith("depth"))
    assert "8" in depth and "6n + 2" in depth
    assert "inputs" not in printed


def test_a_vision_model_is_shown_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """Paddle's own models show the arguments a recipe can set, and not those that the data decide."""
    inspect.architectures("vision/mobilenet_v2", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [row["argument"] for row in shown["arguments"]] == ["scale"]
    assert shown["arguments"][0]["default"] == "1.0"


def test_an_unknown_architecture_is_refused() -> None:
    """A name that is none is told with those that are."""
    with pytest.raises(UnknownName, match="resnet-cifar"):
        inspect.architectures("resnet-cifa")


def test_sources_and_tasks_are_listed_and_shown(capsys: pytest.CaptureFixture[str], wide: None) -> None:
    """The lists say where data come from and what networks learn, by which metric; one is shown with its fields."""
    inspect.sources()
    inspect.tasks()
    printed = capsys.readouterr().out
    assert "image-folder  Images in a folder a class" in printed
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("segmentation")] == ["miou"]
    inspect.sources("table", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert "target" in [row["field"] for row in shown["fields"]]
    inspect.tasks("regression")
    assert re.search(r"targets +required +list of str", capsys.readouterr().out)
    with pytest.raises(UnknownName, match=r"unknown source 'tabel'\. Did you mean 'table'"):
        inspect.sources("tabel")
