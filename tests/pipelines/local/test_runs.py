"""The runs of a home as `paddlepress runs`, `logs` and `clean` show and treat them."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from paddlepress.core.errors import UsageError
from paddlepress_pipelines.local import cleaning, runs
from tests.cli import Done, in_this_process

DAY = 86_400


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line on a home, with a folder for temporary files of its own."""
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    (tmp_path / "system").mkdir()

    def run(*arguments: str) -> Done:
        return in_this_process(monkeypatch, capsys, *arguments, "--home", tmp_path / "home")

    return run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def aged(path: Path, days: float) -> None:
    """Have all of a folder be this old."""
    then = time.time() - days * DAY
    for one in (*path.rglob("*"), path):
        os.utime(one, (then, then))


def run_left(home: Path, run: str, *entries: str, days: float = 0, failed: str = "", **more: Any) -> Path:
    """What a run leaves: its record, a log a task, and folders in the cache."""
    folder, tasks = home / "runs" / run, {}
    for entry in entries:
        write(home / "cache" / entry / "model" / "weights", entry * 10)
        write(folder / "logs" / f"{entry}.log", f"printed by {entry}\n")
        tasks[entry] = {
            "title": f"{entry} (sparse)",
            "state": "done",
            "error": "",
            "log": f"logs/{entry}.log",
            "outputs": {"model": str(Path("/moved/home/cache") / entry / "model")},
        }
        aged(home / "cache" / entry, days)
    if failed:
        write(folder / "logs" / "evaluate.log", "it broke\n")
        tasks["evaluate"] = {"title": "evaluate sparse", "state": "failed", "error": "it broke", "outputs": {}}
        tasks["evaluate"]["log"] = "logs/evaluate.log"
    content = {
        "recipe": {"name": run[16:]},
        "started": "2026-01-05T10:00:00+00:00",
        "seconds": 65.0,
        "interrupted": False,
        "champion": {"version": 3, "variant": "sparse"},
        "models": {},
        "tasks": tasks,
    }
    write(folder / "run.json", json.dumps(content | more))
    aged(folder, days)
    return folder


def test_runs_are_listed(home: Path, command: Callable[..., Done]) -> None:
    """The newest first, each with its state, duration and champion, whoever wrote its record."""
    assert command("runs").out == f"nothing has been run in {home}\n"
    run_left(home, "20260105-100000-mnist", "train-1", "prune-1")
    run_left(home, "20260106-100000-mnist", "train-1", failed="evaluate", champion=None)
    run_left(home, "20260107-100000-digits", "train-2", interrupted=True, champion={"version": 7, "variant": ""})
    old = run_left(home, "20260104-100000-old", "train-3")
    content = json.loads((old / "run.json").read_text())
    del content["champion"], content["started"]  # as earlier versions wrote it
    write(old / "run.json", json.dumps(content))
    write(home / "runs" / "20260108-100000-torn" / "run.json", '{"recipe": ')
    rows = json.loads(command("runs", "--json").out)
    assert [(row["run"], row["state"], row["champion"], row["tasks"]) for row in rows] == [
        ("20260108-100000-torn", "damaged", "", ""),
        ("20260107-100000-digits", "interrupted", "version 7", "1 done"),
        ("20260106-100000-mnist", "failed", "", "1 done, 1 failed"),
        ("20260105-100000-mnist", "done", "sparse", "2 done"),
        ("20260104-100000-old", "done", "", "1 done"),
    ]
    assert rows[-1]["started"] == datetime(2026, 1, 4, 10).astimezone().isoformat()
    shown = command("runs", "--limit", "4").out
    assert "1 min 05 s" in shown and "sparse" in shown and "20260104" not in shown


def test_a_run_at_work_is_listed(home: Path, command: Callable[..., Done]) -> None:
    """As long as its process lives; one that was killed is none."""
    (home / "tmp" / "20260109-100000-mnist").mkdir(parents=True)
    write(home / "run.pid", str(os.getppid()))
    (row,) = json.loads(command("runs", "--json").out)
    assert (row["run"], row["state"]) == ("20260109-100000-mnist", "running")
    assert row["seconds"] > 0
    told = command("logs", "last")
    assert told.code == 2 and "20260109-100000-mnist is running: it has left no record" in told.err
    write(home / "run.pid", "999999999")
    assert json.loads(command("runs", "--json").out) == []


def test_logs_are_printed(home: Path, command: Callable[..., Done]) -> None:
    """Of one task by its name or title, or of all; a run by its name, its beginning, or as the last."""
    run_left(home, "20260105-100000-mnist", "train-1")
    run_left(home, "20260106-100000-mnist", "train-1", failed="evaluate")
    assert command("logs", "last", "evaluate sparse").out == "it broke\n"
    assert command("logs", "20260105", "train-1").out == "printed by train-1\n"
    assert command("logs", "20260106-100000-mnist").out == (
        "==> train-1 (sparse) (done)\nprinted by train-1\n==> evaluate sparse (failed)\nit broke\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("logs", "20250101"), "unknown run '20250101'. Valid: 20260105-100000-mnist, 20260106-100000-mnist"),
        (("logs", "2026"), "2 runs begin with '2026': 20260106-100000-mnist, 20260105-100000-mnist"),
        (("logs", "last", "tran-1"), "unknown task 'tran-1'. Did you mean 'train-1'?"),
        (("logs", "last", "train-1"), "has kept no log of task 'train-1', which is done"),
        (("logs", "last"), "run 20260106-100000-mnist has kept no logs"),
        (("clean", "--older-than", "soon"), "--older-than 'soon' is no age. Valid: a whole number and a unit"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], words: str, home: Path, command: Callable[..., Done]
) -> None:
    """It names what is there."""
    run_left(home, "20260105-100000-mnist", "train-1")
    run_left(home, "20260106-100000-mnist", "train-1")
    (home / "runs" / "20260106-100000-mnist" / "logs" / "train-1.log").unlink()
    done = command(*arguments)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert words in line


def test_a_record_leads_to_no_file_elsewhere(home: Path, command: Callable[..., Done]) -> None:
    """Whatever somebody wrote into it."""
    folder = run_left(home, "20260105-100000-mnist", "train-1")
    secret = write(home.parent / "secret", "hidden")
    content = json.loads((folder / "run.json").read_text())
    content["tasks"]["train-1"]["log"] = f"../../../{secret.name}"
    write(folder / "run.json", json.dumps(content))
    assert "hidden" not in command("logs", "last", "train-1").out


def test_nothing_without_a_home(command: Callable[..., Done], tmp_path: Path) -> None:
    """No command makes one."""
    assert command("runs").code == 0
    assert "nothing has been run in" in command("logs", "last").err
    assert "there is no home in" in command("clean").err
    assert not (tmp_path / "home").exists()


def old_home(home: Path) -> None:
    """A home with everything that may go, and everything that has to stay."""
    run_left(home, "20260101-100000-mnist", "train-0", "shared-1", days=60)
    run_left(home, "20260102-100000-mnist", "train-1", "shared-1", days=50)
    run_left(home, "20260103-100000-digits", "train-2", days=90)
    run_left(home, "20260104-100000-digits", "train-3", days=80, failed="evaluate")
    run_left(home, "20260107-100000-mnist", "train-4", days=1, interrupted=True)
    for entry, days in (("train-5", 45), ("train-6", 2)):
        write(home / "cache" / entry / "checkpoint" / "state")
        aged(home / "cache" / entry, days)
    write(home / "tmp" / "20260101-100000-mnist" / "file")
    write(home / "reports" / ".mnist.html.ab12cd_9" / "mnist.html")
    aged(home / "reports" / ".mnist.html.ab12cd_9", 2)
    write(home / "reports" / ".mnist.html.ab12cd_8" / "mnist.html")  # is being written
    for kept in ("mlflow.db", "artifacts/1/model", "reports/mnist.html"):
        write(home / kept)
    aged(home / "artifacts", 400)
    system = home.parent / "system"
    for name, days in (
        ("paddlepress-old0abc_", 3),
        ("paddlepress-new0abc_", 0),
        ("paddlepress-of-a-person", 3),
        ("other-old", 3),
    ):
        write(system / name / "file")
        aged(system / name, days)


GOES = {
    "home/runs/20260101-100000-mnist",
    "home/cache/train-0",
    "home/cache/train-5",
    "home/tmp",
    "home/reports/.mnist.html.ab12cd_9",
    "system/paddlepress-old0abc_",
}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_nothing_needs_goes(home: Path, command: Callable[..., Done]) -> None:
    """Old runs but the newest of each recipe, what of the cache none that stays has used, and what was left over."""
    old_home(home)
    before = everything(home.parent)
    sizes = {path: (home.parent / path).stat().st_size for path in before}
    dry = json.loads(command("clean", "--dry-run", "--json").out)
    assert {str(Path(one["path"]).relative_to(home.parent)) for one in dry["found"]} == GOES
    assert everything(home.parent) == before and dry["removed"] is False
    going = {path for path in before if any(path.startswith(f"{one}/") for one in GOES)}
    assert dry["bytes"] == sum(sizes[path] for path in going)
    assert f"Would remove 6 things, {dry['bytes']:,} bytes" in command("clean", "--dry-run").out
    done = command("clean")
    assert done.code == 0 and f"Removed 6 things, {dry['bytes']:,} bytes" in done.out
    assert everything(home.parent) - {"home/run.lock"} == before - going
    assert "Removed 0 things, 0 bytes" in command("clean").out


def test_an_age_decides(home: Path, command: Callable[..., Done]) -> None:
    """What is younger stays, and what was finished last stays whatever its age."""
    old_home(home)
    told = command("clean", "--older-than", "1h").out
    assert "train-6" in told and "train-5" in told
    assert {path.name for path in (home / "runs").iterdir()} == {
        "20260102-100000-mnist",
        "20260103-100000-digits",
        "20260104-100000-digits",
        "20260107-100000-mnist",
    }
    assert "20260101" not in command("clean", "--older-than", "9999d").out


def test_a_damaged_record_keeps_the_cache(home: Path) -> None:
    """What it used isn't known."""
    old_home(home)
    write(home / "runs" / "20260107-100000-mnist" / "run.json", "{")
    found = {str(one.path.relative_to(home.parent)) for one in cleaning.leftovers(home, 30 * DAY)}
    assert not any(path.startswith("home/cache") for path in found)


def test_a_home_in_use_is_left_alone(home: Path, command: Callable[..., Done]) -> None:
    """Nothing goes while a run holds it; what would go is told all the same."""
    old_home(home)
    before = everything(home.parent)
    write(home / "run.pid", str(os.getppid()))
    with FileLock(home / "run.lock"):
        done = command("clean")
        assert done.code == 2 and f"another run (process {os.getppid()}) is at work in" in done.err
        dry = command("clean", "--dry-run").out
        assert "home/cache/train-0" in dry and "home/tmp" not in dry
    assert before <= everything(home.parent)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2 h", 7200), ("30d", 30 * DAY), ("1w", 7 * DAY)])
def test_ages(text: str, seconds: float) -> None:
    """A number and a unit."""
    assert cleaning.seconds_of(text) == seconds


def test_a_run_is_found_by_its_whole_name(home: Path) -> None:
    """Though another's begins with it."""
    run_left(home, "20260105-100000-mnist", "train-1")
    run_left(home, "20260105-100000-mnist-small", "train-1")
    assert runs.find(home, "20260105-100000-mnist").recipe == "mnist"
    with pytest.raises(UsageError, match="2 runs begin with"):
        runs.find(home, "20260105-100000-mnis")
