"""Short tasks that one process serves: to a user they are tasks like any other, but sooner done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from paddlepress_components.traits import Traits
from paddlepress_pipelines.local import warm
from paddlepress_pipelines.local.schedule import failure_log
from tests.cli import listen
from tests.pipelines.local.conftest import Bench
from tests.pipelines.local.pipelines import looks, one_failure, sums

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every task starts by itself")

SHORT = Traits(modules=("wave",))


def seen(outcome: Any, task: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(outcome.done[task].outputs["out"]["uri"]).read_text())
    return found


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[warm.Served | None]:
    """What the server said to each task."""
    found: list[warm.Served | None] = []
    original = warm.Server.serve

    def serve(self: warm.Server, command: Any, environment: Mapping[str, str]) -> warm.Served | None:
        found.append(original(self, command, environment))
        return found[-1]

    monkeypatch.setattr(warm.Server, "serve", serve)
    return found


def test_short_tasks_come_from_one_process(bench: Bench, served: list[warm.Served | None]) -> None:
    """Each is a process of its own, with its own environment, chance, group and output, and what it needs is there."""
    outcome = bench.run(looks(), traits=SHORT, environment={"PADDLEPRESS_HOME": "h", "TMPDIR": str(bench.root)})
    one, two = seen(outcome, "look"), seen(outcome, "look-2")
    assert len([process for process in served if process]) == 2
    assert one["parent"] == two["parent"] != os.getpid()
    assert not psutil.pid_exists(one["parent"]), "it ends with the run"
    for own in (one, two):
        assert own["wave"] and own["before"] == "" and own["temporary"] == str(bench.root)
        assert own["group"] == own["pid"]
        assert own["descriptors"] == ["/dev/null", "pipe", "pipe"] and own["sockets"] == 0
    assert one["checkpoint"] != two["checkpoint"]
    assert one["pid"] != two["pid"] and set(one["chance"]).isdisjoint(two["chance"])
    logs = [(Path(outcome.done[name].outputs["out"]["uri"]).parent / "task.log").read_text() for name in outcome.done]
    for number, log in enumerate(sorted(logs, key=lambda text: "I am 2" in text), 1):
        assert f"I am {number}\n" in log and f"I am {3 - number}\n" not in log and "past Python" in log


@pytest.mark.parametrize(
    ("end", "words"), [("crash", "killed by SIGSEGV"), ("memory", "exit code 1: MemoryError: none left")]
)
def test_a_task_that_breaks_breaks_alone(bench: Bench, served: list[warm.Served | None], end: str, words: str) -> None:
    """The process that serves goes on, and the task's log holds what it said."""
    outcome = bench.run(looks(end), traits=SHORT, workers=1)
    assert words in str(outcome.failed["look"])
    log = failure_log(outcome.failed["look"])
    assert log is not None and "I am 1" in log.read_text()
    assert "look-2" in outcome.done and all(served)


def test_a_mistake_of_the_users_is_told_as_ever(bench: Bench) -> None:
    """Message and exit code come through."""
    outcome = bench.run(one_failure(str(bench.journal)), traits=SHORT)
    assert (str(outcome.failed["refuse"]), outcome.failed["refuse"].exit_code) == ("the file 'x.npz' is truncated", 2)
    assert Path(outcome.done["add-2"].outputs["total"]["uri"]).read_text() == "3"


@pytest.mark.parametrize("modules", [("tests.pipelines.local.busy",), ("there_is_no_such_module",)])
def test_without_a_server_tasks_start_by_themselves(
    bench: Bench, served: list[warm.Served | None], modules: tuple[str, ...]
) -> None:
    """A module that leaves a thread running, or can't be imported, is none to fork after."""
    outcome = bench.run(looks(), traits=Traits(modules=modules), environment={"PYTHONPATH": str(Path.cwd())})
    assert set(outcome.done) == {"look", "look-2"} and served == [None, None]
    assert seen(outcome, "look")["parent"] == os.getpid()


def test_a_server_that_is_killed_fails_what_it_served(bench: Bench, served: list[warm.Served | None]) -> None:
    """Its task says so, and the next ones start by themselves."""
    watcher, original = bench.watcher, bench.watcher.started

    def started(task: Any) -> Any:
        tell = original(task)

        def progress(*said: Any) -> None:
            tell(*said)
            if task.title == "left":
                assert served[-1] is not None
                psutil.Process(served[-1].pid).parent().kill()  # type: ignore[union-attr]
                served.clear()

        return progress

    watcher.started = started  # type: ignore[method-assign]
    environment = {"PADDLEPRESS_HOME": "h", "PYTHONUNBUFFERED": "1"}  # so that progress comes while it works
    outcome = bench.run(sums(str(bench.journal), seconds=30.0), traits=SHORT, workers=1, environment=environment)
    assert "killed by SIGKILL" in str(outcome.failed["write-number"])
    assert "write-number-2" in outcome.done and not any(served)


SCRIPT = """
import sys
from pathlib import Path
from paddlepress_components.traits import Traits
from tests.pipelines.local.conftest import Bench
from tests.pipelines.local.pipelines import sums
bench = Bench(Path(sys.argv[1]))
outcome = bench.run(sums(str(bench.journal), wait_for=sys.argv[2]), traits=Traits(modules=("wave",)))
print("interrupted", outcome.interrupted, [task.title for task in outcome.unfinished])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_its_run(bench: Bench, how: signal.Signals) -> None:
    """Killed or interrupted, a run takes the server and the tasks along; the next one goes on."""
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(bench.root), str(bench.root / "never")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        preexec_fn=listen,
    )
    deadline = time.monotonic() + 600
    kept = (bench.root / "cache").glob
    while not (any(kept("*/done.json")) and "start 1" in bench.journal.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    below = psutil.Process(run.pid).children(recursive=True)
    assert len(below) >= 2, "the server and a task"
    run.send_signal(how)
    output, _ = run.communicate(timeout=600)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    if how == signal.SIGINT:
        assert "interrupted True ['left', 'sum']" in output
    again = bench.run(sums(str(bench.journal)), traits=SHORT)
    assert "write-number-2" in again.cached and "add" in again.done
