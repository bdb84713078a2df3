"""Running a pipeline on this machine."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from paddlepress_pipelines.local.cache import Cache, reads_remote
from paddlepress_pipelines.local.spec import tasks_of
from paddlepress_pipelines.plan import plan
from paddlepress_pipelines.recipe import load
from tests.cli import listen
from tests.pipelines.local.conftest import Bench
from tests.pipelines.local.pipelines import one_failure, sums


def test_results_flow_from_task_to_task(bench: Bench) -> None:
    """Every task runs once, after the tasks it needs, and its artifacts and their metadata arrive."""
    outcome = bench.run(sums(str(bench.journal)))
    total = outcome.done["add"].outputs["total"]
    assert Path(total["uri"]).read_text() == "3"
    assert outcome.done["write-number"].outputs["out"]["metadata"] == {"number": 1}
    assert bench.executed()[-1] == "add"
    assert "left 1/10 counting" in bench.watcher.events


def test_independent_tasks_run_side_by_side(bench: Bench) -> None:
    """With two workers a task may wait for one that does not need it; it ends because both run."""
    signal_file = bench.root / "go"

    def starts_other() -> str:
        return str(signal_file)

    pipeline = sums(str(bench.journal), wait_for=starts_other())
    watcher = bench.watcher

    original = watcher.finished

    def finished(task, seconds, cached):  # type: ignore[no-untyped-def]
        original(task, seconds, cached)
        if task.title == "right":
            signal_file.write_text("")

    watcher.finished = finished  # type: ignore[method-assign]
    bench.run(pipeline)
    assert watcher.events.index("finished right") < watcher.events.index("finished left")


def test_a_second_run_makes_nothing_again(bench: Bench) -> None:
    """Unchanged tasks come from the cache; a changed one is made again with what depends on it, alone."""
    bench.run(sums(str(bench.journal)))
    again = bench.run(sums(str(bench.journal)))
    assert again.cached == {"write-number", "write-number-2", "add"}
    assert bench.executed() == ["1", "2", "add"] or bench.executed() == ["2", "1", "add"]
    changed = bench.run(sums(str(bench.journal), second=5))
    assert changed.cached == {"write-number"}
    assert Path(changed.done["add"].outputs["total"]["uri"]).read_text() == "6"


def test_what_a_task_warns_of_is_shown_in_every_run(bench: Bench) -> None:
    """Warnings stand with a task's output: they are shown when it is made, and when it is taken from the cache."""
    for _ in range(2):
        bench.run(sums(str(bench.journal), second=13))
        assert [event for event in bench.watcher.events if "warned" in event] == ["warned right: it is 13"]
        bench.watcher.events.clear()


def test_fresh_makes_everything_again(bench: Bench) -> None:
    """`fresh` ignores what is there."""
    bench.run(sums(str(bench.journal)))
    assert bench.run(sums(str(bench.journal)), fresh=True).cached == set()
    assert len(bench.executed()) == 6


def test_a_failure_stops_only_what_needs_it(bench: Bench) -> None:
    """The failed task's own message and exit code are kept; tasks beside it are done."""
    outcome = bench.run(one_failure(str(bench.journal)))
    assert str(outcome.failed["refuse"]) == "the file 'x.npz' is truncated"
    assert outcome.failed["refuse"].exit_code == 2
    assert outcome.skipped == {"add": "refuse"}
    assert Path(outcome.done["add-2"].outputs["total"]["uri"]).read_text() == "3"
    assert "skipped behind: refused" in bench.watcher.events


def test_an_unfinished_task_leaves_nothing_that_counts(bench: Bench) -> None:
    """A directory without its last file is cleared, but for the checkpoint that training resumes from."""
    outcome = bench.run(sums(str(bench.journal)))
    folder = Path(outcome.done["add"].outputs["total"]["uri"]).parent
    (folder / "done.json").unlink()
    (folder / "half-written").write_text("x")
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "state").write_text("kept")
    bench.run(sums(str(bench.journal)))
    assert not (folder / "half-written").exists()
    assert json.loads((folder / "done.json").read_text())["outputs"]["total"]["digest"]


SCRIPT = """
import sys
from pathlib import Path
from tests.pipelines.local.conftest import Bench
from tests.pipelines.local.pipelines import sums
bench = Bench(Path(sys.argv[1]))
finished = bench.watcher.finished

def told(task, seconds, cached):
    finished(task, seconds, cached)
    with bench.journal.open("a") as stream:
        stream.write(f"finished {task.title}\\n")

bench.watcher.finished = told
outcome = bench.run(sums(str(bench.journal), wait_for=sys.argv[2]))
print("interrupted", outcome.interrupted, [task.title for task in outcome.unfinished])
"""


def start(bench: Bench, wait_for: str) -> tuple[subprocess.Popen[str], int]:
    """A run in a process of its own, with a task that waits; returns it and the task's process."""
    root = Path(__file__).parents[3]
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(bench.root), wait_for],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
        preexec_fn=listen,
    )
    deadline = time.monotonic() + 1000
    while time.monotonic() < deadline:
        lines = bench.journal.read_text().splitlines() if bench.journal.exists() else []
        starts = [line for line in lines if line.startswith("start 1")]
        if starts and "finished right" in lines:
            return run, int(starts[0].split()[2])
        time.sleep(0.05)
    run.kill()
    raise AssertionError("the run did not start its tasks")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_task_outlives_its_run(bench: Bench, how: signal.Signals) -> None:
    """Killed or interrupted, a run takes its tasks along; the next run keeps what was finished."""
    run, task = start(bench, str(bench.root / "never"))
    run.send_signal(how)
    output, _ = run.communicate(timeout=1000)
    deadline = time.monotonic() + 240
    while psutil.pid_exists(task) and psutil.Process(task).status() != "zombie" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(task) or psutil.Process(task).status() == "zombie"
    if how == signal.SIGINT:
        assert "interrupted True ['left', 'sum']" in output
    again = bench.run(sums(str(bench.journal)))
    assert "write-number-2" in again.cached
    assert Path(again.done["add"].outputs["total"]["uri"]).read_text() == "3"


def test_a_killed_task_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that the kernel killed names the signal, not an empty message."""
    from paddlepress_pipelines.local import execute

    monkeypatch.setattr(execute.Execution, "_command", lambda self: ["sh", "-c", "kill -9 $$"])
    outcome = bench.run(sums(str(bench.journal)))
    assert "killed by SIGKILL, perhaps because memory ran out" in str(outcome.failed["write-number"])


def test_a_task_that_says_nothing_of_its_own_gives_its_last_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a traceback tells more than an exit code."""
    from paddlepress_pipelines.local import execute

    monkeypatch.setattr(execute.Execution, "_command", lambda self: ["sh", "-c", "echo ValueError: no; exit 3"])
    outcome = bench.run(sums(str(bench.journal)))
    assert str(outcome.failed["write-number"]) == "it ended with exit code 3: ValueError: no"


def test_a_half_cleared_task_is_not_finished(bench: Bench) -> None:
    """Killed while it clears old outputs, a run does not take the rest of them for whole."""
    first = bench.run(sums(str(bench.journal)))
    folder = Path(first.done["add"].outputs["total"]["uri"]).parent
    Cache(bench.root / "cache", "registry").prepare(folder, fresh=False)
    assert not (folder / "done.json").exists()


def test_a_moved_home_keeps_its_own_outputs(bench: Bench) -> None:
    """Outputs are known by their place within the cache, so a copy does not read the original's."""
    bench.run(sums(str(bench.journal)))
    (bench.root / "cache").rename(bench.root / "moved")
    (bench.root / "moved").rename(bench.root / "cache")
    text = next((bench.root / "cache").glob("add-*/done.json")).read_text()
    assert str(bench.root) not in text


def test_a_changed_file_outside_is_noticed(tmp_path: Path) -> None:
    """A data file with new content under the old name is another input."""
    data, recipe = tmp_path / "data.npz", tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\ndata: {{source: npz, path: {data}}}\n"
        "base: {architecture: lenet}\nvariants: {v: [prune-filters]}\n"
    )
    task = next(t for t in tasks_of(plan(load(recipe)).tasks).values() if t.component.startswith("load-data-"))
    cache = Cache(tmp_path / "cache", "registry")
    keys = []
    for content in (b"one", b"two", b"one"):
        data.write_bytes(content)
        keys.append(cache.key(task, {}))
    assert keys[0] == keys[2] != keys[1]


def test_a_changed_teacher_is_noticed(tmp_path: Path) -> None:
    """A technique's field that says where files are is an input too: a teacher that learned more is another."""
    teacher, recipe = tmp_path / "teacher", tmp_path / "r.yaml"
    teacher.mkdir()
    recipe.write_text(
        "name: r\ndata: {source: digits}\nbase: {architecture: lenet}\n"
        f"variants: {{v: [distill-offline: {{teachers: [base, {teacher}]}}]}}\n"
    )
    task = next(t for t in tasks_of(plan(load(recipe)).tasks).values() if t.component == "distill-offline")
    cache = Cache(tmp_path / "cache", "registry")
    keys = []
    for content in ("one", "two", "one"):
        (teacher / "model.json").write_text(content)
        keys.append(cache.key(task, {}))
    assert keys[0] == keys[2] != keys[1]
    assert not reads_remote(task)
    recipe.write_text(recipe.read_text().replace(str(teacher), "s3://models/teacher"))
    remote = next(t for t in tasks_of(plan(load(recipe)).tasks).values() if t.component == "distill-offline")
    assert reads_remote(remote)


FULL = "no room is left on the disk at /"


def test_a_task_on_a_full_disk_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever program of the task's it was that found no room."""
    from paddlepress_pipelines.local import execute

    script = "echo 'OSError: [Errno 28] No space left on device' >&2; echo bye; exit 1"
    monkeypatch.setattr(execute.Execution, "_command", lambda self: ["sh", "-c", script])
    outcome = bench.run(sums(str(bench.journal)))
    assert str(outcome.failed["write-number"]).startswith(FULL)
    assert outcome.failed["write-number"].exit_code == 1


@pytest.mark.parametrize("step", ["prepare", "finish"])
def test_a_run_on_a_full_disk_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What the run itself can't write fails the task, and the next run goes on."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Cache, step, full)
        outcome = bench.run(sums(str(bench.journal)))
    assert str(outcome.failed["write-number"]).startswith(FULL)
    assert bench.run(sums(str(bench.journal))).failed == {}
