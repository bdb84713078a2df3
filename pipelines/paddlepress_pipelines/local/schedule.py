"""Run tasks in the order of their dependencies, several at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paddlepress.core import files
from paddlepress.core.errors import PaddlepressError
from paddlepress_components.entry import WARNINGS
from paddlepress_pipelines.local.cache import Cache, DamagedOutput, Finished, reads_remote
from paddlepress_pipelines.local.execute import Execution, OnProgress, TaskFailed
from paddlepress_pipelines.local.spec import TaskSpec
from paddlepress_pipelines.local.warm import Server


class Watcher(Protocol):
    """Told what happens to tasks, from several threads."""

    def started(self, task: TaskSpec) -> OnProgress: ...

    def finished(self, task: TaskSpec, seconds: float, cached: bool) -> None: ...

    def damaged(self, task: TaskSpec, problem: str) -> None: ...

    def failed(self, task: TaskSpec, message: str) -> None: ...

    def skipped(self, tasks: Sequence[TaskSpec], because: str) -> None: ...

    def warned(self, task: TaskSpec, text: str) -> None: ...


@dataclass
class Outcome:
    """What became of a pipeline's tasks.

    Attributes:
        done: task -> its outputs.
        cached: the tasks whose outputs were there already.
        failed: task -> what went wrong.
        skipped: task -> the failed task that it needed.
        unfinished: the tasks that were not done when the run was interrupted.
    """

    done: dict[str, Finished] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    failed: dict[str, PaddlepressError] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unfinished: list[TaskSpec] = field(default_factory=list)
    interrupted: bool = False


class Scheduler:
    """Runs the tasks of one pipeline.

    A task that fails does not stop the tasks that do not need it.

    Args:
        tasks: by name.
        cache: where finished tasks are looked up and kept.
        watcher: told what happens.
        workers: how many tasks run at once.
        environment: variables for the tasks' processes.
        fresh: make every task again, whatever is in the cache.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskSpec],
        cache: Cache,
        watcher: Watcher,
        *,
        workers: int,
        environment: Mapping[str, str],
        fresh: bool = False,
    ) -> None:
        self.tasks = tasks
        self.cache = cache
        self.watcher = watcher
        self.workers = workers
        self.environment = environment
        self.fresh = fresh
        self.outcome = Outcome()
        self._running: dict[Future[None], TaskSpec] = {}
        self._executions: set[Execution] = set()
        self._directories: dict[Path, threading.Lock] = {}
        self._made: set[Path] = set()
        self._lock = threading.Lock()
        self._stopping = False
        modules = dict.fromkeys(module for task in tasks.values() for module in task.traits.modules)
        self._server = Server(modules, environment)

    def run(self) -> Outcome:
        """Run everything that can be run; a KeyboardInterrupt ends it in good order."""
        try:
            return self._run()
        finally:
            self._server.stop()

    def _run(self) -> Outcome:
        waiting = dict(self.tasks)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="task") as pool:
            try:
                while waiting or self._running:
                    self._skip_hopeless(waiting)
                    self._start_ready(waiting, pool)
                    if self._running:
                        # A timeout lets Ctrl-C through while a long task runs.
                        done, _ = wait(self._running, timeout=0.5, return_when=FIRST_COMPLETED)
                        for future in done:
                            self._collect(future)
            except KeyboardInterrupt:
                self._stop()
                running = [task for task in self._running.values() if task.name not in self.outcome.done]
                self.outcome.unfinished = [*running, *waiting.values()]
                self.outcome.interrupted = True
            except BaseException:
                self._stop()
                raise
        return self.outcome

    def _start_ready(self, waiting: dict[str, TaskSpec], pool: ThreadPoolExecutor) -> None:
        ready = [task for task in waiting.values() if task.after <= self.outcome.done.keys()]
        for task in sorted(ready, key=_turn):
            occupied = len(self._running) >= (1 if task.traits.alone else self.workers)
            if occupied or any(other.traits.alone for other in self._running.values()):
                return
            del waiting[task.name]
            self._running[pool.submit(self._run_task, task)] = task

    def _run_task(self, task: TaskSpec) -> None:
        try:
            self._finish(task)
        except OSError as error:
            said = f"can't use {error.filename or self.cache.root}: {error.strerror or error}"
            raise files.disk_full(error, self.cache.root) or PaddlepressError(said) from error

    def _finish(self, task: TaskSpec) -> None:
        inputs = {name: self.outcome.done[producer].outputs[key] for name, (producer, key) in task.inputs.items()}
        directory = self.cache.directory(task, self.cache.key(task, inputs))
        # Two tasks can be the same one, such as the evaluations of two variants with one chain.
        with self._lock:
            mine = self._directories.setdefault(directory, threading.Lock())
        with mine:
            finished = self._find(task, directory) if self._may_reuse(task, directory) else None
            if finished is None:
                finished, cached = self._make(task, inputs, directory), False
            else:
                cached = True
        if cached:
            self.outcome.cached.add(task.name)
        self.outcome.done[task.name] = finished
        self.watcher.finished(task, finished.seconds, cached)
        for output in finished.outputs.values():
            for text in output.get("metadata", {}).get(WARNINGS, ()):
                self.watcher.warned(task, str(text))

    def _find(self, task: TaskSpec, directory: Path) -> Finished | None:
        try:
            return self.cache.find(directory)
        except DamagedOutput as error:
            self.watcher.damaged(task, str(error))
            return None

    def _may_reuse(self, task: TaskSpec, directory: Path) -> bool:
        made_now = directory in self._made
        return made_now or (task.traits.kept and not self.fresh and not reads_remote(task))

    def _make(self, task: TaskSpec, inputs: dict[str, dict[str, Any]], directory: Path) -> Finished:
        checkpoint = self.cache.prepare(directory, fresh=self.fresh)
        environment = {**self.environment, "PADDLEPRESS_CHECKPOINT": str(checkpoint)}
        execution = Execution(task, inputs, directory, environment, self._server)
        with self._lock:
            self._executions.add(execution)
            if self._stopping:
                execution.stop()
        on_progress = self.watcher.started(task)
        started = time.monotonic()
        try:
            outputs = execution.run(on_progress)
        finally:
            with self._lock:
                self._executions.discard(execution)
        self._made.add(directory)
        return self.cache.finish(directory, outputs, time.monotonic() - started)

    def _collect(self, future: Future[None]) -> None:
        task = self._running.pop(future)
        error = future.exception()
        if isinstance(error, PaddlepressError):
            self.outcome.failed[task.name] = error
            self.watcher.failed(task, str(error))
        elif error is not None:
            raise error

    def _skip_hopeless(self, waiting: dict[str, TaskSpec]) -> None:
        """Give up on tasks that need one that failed."""
        lost = {**dict.fromkeys(self.outcome.failed, ""), **self.outcome.skipped}
        hopeless_by: dict[str, list[TaskSpec]] = {}
        while hopeless := [task for task in waiting.values() if task.after & lost.keys()]:
            for task in hopeless:
                cause = next(name for name in task.after if name in lost)
                root = self.outcome.skipped.get(cause, cause)
                self.outcome.skipped[task.name] = lost[task.name] = root
                hopeless_by.setdefault(root, []).append(task)
                del waiting[task.name]
        for root, tasks in hopeless_by.items():
            self.watcher.skipped(tasks, self.tasks[root].title)

    def _stop(self) -> None:
        """End every task that runs, and wait for its end."""
        with self._lock:
            self._stopping = True
            executions = list(self._executions)
        for execution in executions:
            execution.stop()
        self._server.stop()
        wait(self._running)


def _turn(task: TaskSpec) -> int:
    """Which ready tasks go first: those that compute side by side, then those that run alone, then delivery.

    Were delivery to go before, a single registration would keep the next measurement, and a worker, waiting.
    """
    return 1 if task.traits.alone else 2 if task.traits.registry else 0


def failure_log(error: PaddlepressError) -> Path | None:
    """Where a failed task's output can be read."""
    return error.log if isinstance(error, TaskFailed) else None
