"""Finished tasks are believed only as long as they are what was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paddlepress_pipelines.local.cache import Cache, DamagedOutput
from tests.pipelines.local.conftest import Bench
from tests.pipelines.local.pipelines import sums


def edit(path: Path) -> None:
    path.write_text("9")


def truncate(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "words"),
    [(edit, "does not match its checksum"), (truncate, "has 0 bytes, and had 1"), (Path.unlink, "missing")],
)
def test_a_damaged_output_is_made_again_and_told(bench: Bench, damage: Any, words: str) -> None:
    """Truncated, edited or deleted, a kept file is not taken for what was made; what depends on it stays good."""
    first = bench.run(sums(str(bench.journal)))
    output = Path(first.done["write-number"].outputs["out"]["uri"])
    damage(output)
    again = bench.run(sums(str(bench.journal)))
    assert again.cached == {"write-number-2", "add"}
    assert output.read_text() == "1"
    (told,) = (event for event in bench.watcher.events if event.startswith("damaged"))
    assert told.startswith(f"damaged left: {output} ") and words in told


@pytest.mark.parametrize("change", ['"seconds": ', '"number": ', "{"])
def test_an_edited_record_is_not_believed(bench: Bench, change: str) -> None:
    """What stands in `done.json`, such as a task's metrics, is covered too; one that is no JSON counts for nothing."""
    first = bench.run(sums(str(bench.journal)))
    record = Path(first.done["write-number"].outputs["out"]["uri"]).parent / "done.json"
    record.write_text(record.read_text().replace(change, f"{change}1", 1))
    assert "write-number" not in bench.run(sums(str(bench.journal))).cached
    assert any("done.json" in event for event in bench.watcher.events if event.startswith("damaged left"))


def test_a_damaged_directory(tmp_path: Path) -> None:
    """Every file of an artifact that is a directory counts, and so do those that were not there."""
    cache, task = Cache(tmp_path, "registry"), tmp_path / "task"
    model = task / "model"
    model.mkdir(parents=True)
    (model / "weights").write_text("123")
    output = {"name": "model", "uri": str(model), "type": "system.Model", "metadata": {}}
    made = cache.finish(task, {"model": output}, 1.0)
    assert cache.find(task) == made
    (model / "weights").write_text("124")
    with pytest.raises(DamagedOutput, match="model does not match its checksum"):
        cache.find(task)
    (model / "weights").write_text("123")
    (model / "more").touch()
    with pytest.raises(DamagedOutput, match="model does not match its checksum"):
        cache.find(task)
    (model / "more").unlink()
    assert cache.find(task) == made
    assert json.loads((task / "done.json").read_text())["outputs"]["model"]["bytes"] == 3
