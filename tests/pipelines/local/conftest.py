"""What tests of the local runner share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from paddlepress_components.traits import Traits
from paddlepress_pipelines.local.cache import Cache
from paddlepress_pipelines.local.schedule import Outcome, Scheduler
from paddlepress_pipelines.local.spec import TaskSpec
from tests.pipelines.compiled import tasks_of


@dataclass
class Recorder:
    """A watcher that remembers."""

    events: list[str] = field(default_factory=list)

    def started(self, task: TaskSpec) -> Any:
        self.events.append(f"started {task.title}")
        return lambda done, total, text: self.events.append(f"{task.title} {done}/{total} {text}")

    def finished(self, task: TaskSpec, seconds: float, cached: bool) -> None:
        self.events.append(f"{'cached' if cached else 'finished'} {task.title}")

    def damaged(self, task: TaskSpec, problem: str) -> None:
        self.events.append(f"damaged {task.title}: {problem}")

    def failed(self, task: TaskSpec, message: str) -> None:
        self.events.append(f"failed {task.title}: {message}")

    def skipped(self, tasks: Sequence[TaskSpec], because: str) -> None:
        self.events.append(f"skipped {', '.join(task.title for task in tasks)}: {because}")

    def warned(self, task: TaskSpec, text: str) -> None:
        self.events.append(f"warned {task.title}: {text}")


@dataclass
class Bench:
    """A place to run pipelines in, with a journal of what was executed."""

    root: Path

    def __post_init__(self) -> None:
        self.journal = self.root / "journal"
        self.watcher = Recorder()

    def run(self, pipeline: Any, **options: Any) -> Outcome:
        traits = options.pop("traits", Traits())
        tasks = {name: replace(task, traits=traits) for name, task in tasks_of(pipeline.pipeline_spec).items()}
        cache = Cache(self.root / "cache", options.pop("registry", "registry"))
        options = {"workers": 2, "environment": {"PADDLEPRESS_HOME": str(self.root)}} | options
        return Scheduler(tasks, cache, self.watcher, **options).run()

    def executed(self) -> list[str]:
        """What was started, in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split()[1] for line in lines if line.startswith("start")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
