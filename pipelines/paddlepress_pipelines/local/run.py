"""Run a recipe on this machine, from data to a decision."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.artifact import foreign_formats
from paddlepress.artifact.manifest import MANIFEST
from paddlepress.core import files
from paddlepress.core.errors import ArtifactError, DiskFull, PaddlepressError, RunInUse, UsageError, shown
from paddlepress.core.fields import Fields, Place, expanded
from paddlepress.core.storage import is_s3
from paddlepress_pipelines.local import record
from paddlepress_pipelines.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from paddlepress_pipelines.local.schedule import Outcome
    from paddlepress_pipelines.local.spec import TaskSpec


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
        run: the run's identity, and the name of its folder below `HOME/runs`.
        outcome: what became of each task.
        tasks: the tasks by name.
        seconds: how long it took.
    """

    run: str
    outcome: Outcome
    tasks: dict[str, TaskSpec]
    seconds: float

    def output(self, task: str, name: str) -> Path | None:
        """The file of a task's output, if the task was finished."""
        finished = self.outcome.done.get(task)
        return Path(finished.outputs[name]["uri"]) if finished else None

    def json(self, task: str, name: str) -> Any:
        """A task's JSON output; None if the task was not finished."""
        path = self.output(task, name)
        return json.loads(path.read_text(encoding="utf-8")) if path else None


def run_recipe(
    recipe: Recipe, home: Path, console: Console, *, fresh: bool = False, workers: int | None = None
) -> RunResult:
    """Run every task of a recipe that is not already done.

    Args:
        recipe: what to do.
        home: where the registry, artifacts, cache and runs live.
        console: where to show it.
        fresh: make everything again.
        workers: tasks at once; default: one per core, at most 4.

    Raises:
        RunInUse: another run is at work in `home`.
        RegistryError: the registry can't be reached.
    """
    check_local_data(recipe)
    home = home.absolute()
    with locked(home), _terminate_like_interrupt():
        return _run(recipe, home, console, fresh, workers or min(4, os.cpu_count() or 1))


def check_local_data(recipe: Recipe) -> None:
    """Refuse a recipe whose local files are not there, or whose base model is none, before anything runs.

    Raises:
        UsageError: files are missing, or of the wrong kind; all of them are in its `mistakes`.
    """
    problems = []
    parts: dict[str, Fields] = {"data": recipe.data, "base": recipe.base}
    for variant, chain in recipe.variants.items():
        parts |= {f"variants.{variant}.{number}.{step.technique}": step.build() for number, step in enumerate(chain)}
    for at, part in parts.items():
        for name, info in type(part).model_fields.items():
            for place in (mark for mark in info.metadata if isinstance(mark, Place)):
                problems += [
                    f"{at}.{name} of recipe {recipe.name!r} is {shown(given, 200)}, and {why}"
                    for given in place.local(getattr(part, name))
                    if (why := _why_not_there(given))
                ]
    if recipe.base.artifact and not problems and not is_s3(recipe.base.artifact):
        try:
            foreign_formats.refuse(expanded(recipe.base.artifact), MANIFEST)
        except ArtifactError as error:
            problems.append(f"base.artifact of recipe {recipe.name!r}: {error}")
    if problems:
        raise UsageError(*problems)


def _why_not_there(place: str) -> str:
    """Why a path on this machine leads nowhere; empty where it leads to something."""
    try:
        expanded(place).stat()
    except UsageError as error:
        return str(error)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return "there is no such file or folder" if missing else f"it can't be read: {error.strerror}"
    except ValueError as error:
        return f"that is no path: {error}"
    return ""


def _run(recipe: Recipe, home: Path, console: Console, fresh: bool, workers: int) -> RunResult:
    from paddlepress.registry import connection, location
    from paddlepress.registry.failures import told

    started = time.monotonic()
    with console.status("Connecting to the registry and planning the run"):
        with told(location.tracking_uri(home)):
            client = connection.connect(home)
            registry = connection.fingerprint(client, recipe.name)
            registered = _registered(client, recipe)
        tasks = _tasks(recipe)
    from paddlepress_pipelines.local.cache import Cache
    from paddlepress_pipelines.local.display import Display
    from paddlepress_pipelines.local.schedule import Scheduler

    cache = Cache(home / "cache", registry)
    cache.forget_registrations(recipe.name, registered)
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-{recipe.name}"
    with Display(console, len(tasks)) as display, _scratch(home, run) as scratch:
        outcome = Scheduler(
            tasks,
            cache,
            display,
            workers=workers,
            environment={**_environment(home, run, workers), "TMPDIR": str(scratch)},
            fresh=fresh,
        ).run()
    result = RunResult(run, outcome, tasks, time.monotonic() - started)
    try:
        record.write(result, recipe, home)
    except DiskFull:
        if not outcome.failed and not outcome.interrupted:  # else there is something more important to tell
            raise
    return result


def _registered(client: Any, recipe: Recipe) -> set[int]:
    """The versions of a recipe's model that are there and, as far as this recipe makes them, undamaged."""
    from paddlepress.registry import catalogue, integrity

    digests = {recipe.digest(variant) for variant in (catalogue.BASE, *recipe.variants)}
    damaged = {fault.version for fault in integrity.audit(client, recipe.name, only=digests)}
    return {int(entry.version) for entry in catalogue.registered(client, recipe.name)} - damaged


def _tasks(recipe: Recipe) -> dict[str, TaskSpec]:
    from paddlepress_pipelines.local.spec import tasks_of
    from paddlepress_pipelines.plan import plan

    return tasks_of(plan(recipe).tasks)


def _environment(home: Path, run: str, workers: int) -> dict[str, str]:
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    chosen = {"PADDLEPRESS_HOME": str(home), "PADDLEPRESS_RUN": run, "PYTHONUNBUFFERED": "1"}
    # Each task gets its share of the cores: tasks side by side gain more than threads within one.
    return chosen | {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def _scratch(home: Path, run: str) -> Iterator[Path]:
    """A folder for the temporary files of a run's tasks, which leave some behind when they are killed.

    What earlier runs left goes away first: as this one holds the home, none of them is alive.
    """
    root = home / "tmp"
    shutil.rmtree(root, ignore_errors=True)
    try:
        with files.writing(root):
            (root / run).mkdir(parents=True)
        yield root / run
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold a home directory against other runs; the kernel lets go of it however this process ends.

    A home that was made for a run which could not begin is taken away again.
    """
    from filelock import FileLock, Timeout

    existed, pid = home.exists(), home / "run.pid"
    lock = FileLock(home / "run.lock", timeout=0)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        pid.write_text(str(os.getpid()), encoding="utf-8")
    except Timeout:
        who = f" (process {pid.read_text(encoding='utf-8')})" if pid.exists() else ""
        raise RunInUse(f"another run{who} is at work in {home}. Wait for it, or give another --home") from None
    except OSError as error:
        said = f"can't use {home} as home directory: {error.strerror or error}"
        raise files.disk_full(error, home) or UsageError(said) from None
    try:
        yield
    finally:
        pid.unlink(missing_ok=True)
        lock.release()
        if not existed and {path.name for path in home.iterdir()} <= {"run.lock"}:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Have a polite kill end the run as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def first_failure(outcome: Outcome) -> PaddlepressError | None:
    """The failure that decides the exit code: a usage error before any other."""
    errors = sorted(outcome.failed.values(), key=lambda error: -error.exit_code)
    return errors[0] if errors else None
