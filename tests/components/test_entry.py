"""What runs around every component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import DataError
from paddlepress_components import entry
from paddlepress_components.apply import apply_technique
from paddlepress_components.delivery.compare import compare
from paddlepress_components.training.train import train
from tests.components.artifacts import Artifact

SETTINGS: dict[str, Any] = {
    "name": "digits",
    "title": "",
    "variants": [],
    "gates": [],
    "objective": {"minimize": "bytes"},
}


def test_an_error_is_one_line_that_no_logger_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The line starts with a prefix of its own, which Python's logging never writes."""
    with pytest.raises(SystemExit) as caught, entry.task():
        raise DataError("x.npz is truncated")
    assert caught.value.code == 2
    assert capsys.readouterr().out == "PADDLEPRESS-ERROR x.npz is truncated\n"


def test_a_full_disk_is_told_whatever_library_met_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A failure, not a user's mistake; errors of other kinds keep their traceback."""
    with pytest.raises(SystemExit) as caught, entry.task():
        raise RuntimeError("[ONNXRuntimeError] open: No space left on device")
    assert caught.value.code == 1
    assert capsys.readouterr().out.startswith("PADDLEPRESS-ERROR no room is left on the disk at /")
    with pytest.raises(RuntimeError, match="something else"), entry.task():
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gates": [{"metric": "drop"}, {"metric": "speed", "at_most": 1}]}, ["gates[0]", "exactly one of"]),
        ({"gates": [{"metric": "drop", "at_most": 1, "over": 2}]}, ["gates[0]", "unknown field 'over'", "at_least"]),
        ({"gates": ["drop"]}, ["gates[0]", "must be a mapping"]),
        ({"objective": {"maximize": "speed"}}, ["objective", "'speed'", "speedup_b1"]),
        ({"variants": [{"variant": "int8"}]}, ["variants[0]", "'recipe_digest' is missing"]),
    ],
    ids=["gate", "field", "string", "objective", "variant"],
)
def test_a_comparison_that_cannot_be_made(
    change: dict[str, Any],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bad gate, objective or variant is told in one line before the registry is touched."""
    monkeypatch.setenv(entry.HOME_VARIABLE, str(tmp_path / "home"))
    with pytest.raises(SystemExit) as caught:
        artifacts = {
            name: Artifact(tmp_path / name)
            for name in ("base", "base_deployable", "base_outputs", "test_data", "comparison", "metrics")
        }
        compare(**artifacts, **{**SETTINGS, **change}, latency_seconds=1.0)
    told(caught, capsys, words)
    assert not (tmp_path / "home").exists()


def test_a_training_that_cannot_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting out of range is told in one line with its name and value."""
    outputs = {"model": Artifact(tmp_path / "model"), "metrics": Artifact(tmp_path / "m")}
    given: dict[str, Any] = {
        "architecture": "lenet",
        "arguments": {},
        "seed": 0,
        "device": "cpu",
        "fields": {"epochs": 0},
    }
    with pytest.raises(SystemExit) as caught:
        train(data=Artifact(tmp_path / "no-data"), **outputs, **given)
    told(caught, capsys, ["train", "'epochs' is 0"])


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What no recipe may have is no component's seed either: told before anything is loaded."""
    nothing = Artifact(tmp_path / "nothing")
    artifacts = dict.fromkeys(["model", "base", "data", "compressed_model", "metrics"], nothing)
    with pytest.raises(SystemExit) as caught:
        apply_technique(technique="prune-weights", **artifacts, fields={}, seed=seed, device="cpu")
    told(caught, capsys, [f"seed is {seed}. Valid: 0 to 2147483647"])


def told(caught: pytest.ExceptionInfo[SystemExit], capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    lines = capsys.readouterr().out.splitlines()
    assert caught.value.code == 2
    assert len(lines) == 1 and lines[0].startswith(entry.ERROR_PREFIX), lines
    assert all(word in lines[0] for word in words), lines[0]
