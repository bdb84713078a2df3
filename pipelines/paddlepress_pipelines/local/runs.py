"""The runs of a home directory: those that have left a record, and the one at work."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paddlepress.core.errors import UnknownName, UsageError
from paddlepress_pipelines.local.record import RECORD

LAST = "last"
_TIME = re.compile(r"([0-9]{8}-[0-9]{6})-(.+)")


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        id: its name: the time at which it began, and its recipe's name.
        recipe: the recipe's name.
        state: `done`, `failed`, `interrupted`, `running` or `damaged`, whose record can't be read.
        started: when it began; None where that isn't known.
        seconds: how long it took; None where that isn't known.
        champion: the variant that was in production after it; empty where it did not come so far.
        tasks: name -> what the record says of it: `title`, `state`, `error`, `log` and `outputs`.
    """

    id: str
    recipe: str
    state: str
    started: datetime | None
    seconds: float | None
    champion: str
    tasks: dict[str, dict[str, Any]]

    def states(self) -> str:
        """How many tasks came to which end, such as `12 done, 1 failed`."""
        counted = Counter(str(task.get("state")) for task in self.tasks.values())
        return ", ".join(f"{count} {state}" for state, count in counted.most_common())


def listed(home: Path) -> list[Run]:
    """All runs, the newest first."""
    found = [_recorded(folder) for folder in (home / "runs").glob("*") if (folder / RECORD).is_file()]
    found += [_running(name) for name in running(home) if not any(run.id == name for run in found)]
    return sorted(found, key=lambda run: run.id, reverse=True)


def running(home: Path) -> list[str]:
    """The names of the runs at work, of which there is one at the most; one that was killed is none."""
    import psutil

    # The lock itself is not tried: for that moment no run could begin.
    try:
        pid = int((home / "run.pid").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if pid == os.getpid() or not psutil.pid_exists(pid):  # who cleans holds the home, and runs nothing
        return []
    return sorted(folder.name for folder in (home / "tmp").glob("*") if _TIME.fullmatch(folder.name))


def find(home: Path, run: str) -> Run:
    """A run by its name, by the beginning of its name, or `last`.

    Raises:
        UsageError: nothing has been run, or several are meant.
        UnknownName: there is none.
    """
    there = listed(home)
    if not there:
        raise UsageError(f"nothing has been run in {home}. Run a recipe first, or give --home or --host")
    fitting = there[:1] if run == LAST else [one for one in there if one.id.startswith(run)]
    exact = [one for one in fitting if one.id == run]
    if len(fitting) > 1 and not exact:
        raise UsageError(f"{len(fitting)} runs begin with {run!r}: {', '.join(one.id for one in fitting[:5])}")
    if not fitting:
        raise UnknownName("run", run, (one.id for one in there[:10]), str(home))
    return (exact or fitting)[0]


def tasks_named(run: Run, name: str | None) -> dict[str, dict[str, Any]]:
    """A run's tasks of a name or title; all of them without one.

    Raises:
        UnknownName: none of them has it.
    """
    found = {task: told for task, told in run.tasks.items() if name in (None, task, told.get("title"))}
    if not found and name is not None:
        raise UnknownName("task", name, run.tasks, f"run {run.id}")
    return found


def log_of(home: Path, run: Run, task: str) -> str | None:
    """What a task of a run printed; None where nothing was kept."""
    kept = run.tasks[task].get("log")
    place = home / "runs" / run.id / str(kept or "")
    inside = place.resolve().is_relative_to((home / "runs" / run.id).resolve())
    if not kept or not inside or not place.is_file():
        return None
    return place.read_text(encoding="utf-8", errors="replace")


def _recorded(folder: Path) -> Run:
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tasks = {str(name): dict(task) for name, task in content["tasks"].items()}
        states = {task.get("state") for task in tasks.values()}
        champion = content.get("champion") or {}
        return Run(
            id=folder.name,
            recipe=str(content["recipe"]["name"]),
            state="interrupted" if content.get("interrupted") else "failed" if "failed" in states else "done",
            started=datetime.fromisoformat(content["started"]) if "started" in content else _begun(folder.name),
            seconds=float(content["seconds"]),
            champion=str(champion.get("variant") or f"version {champion['version']}") if champion else "",
            tasks=tasks,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        recipe = _TIME.fullmatch(folder.name)
        return Run(folder.name, recipe[2] if recipe else "", "damaged", _begun(folder.name), None, "", {})


def _running(name: str) -> Run:
    begun = _begun(name)
    seconds = max(0.0, (datetime.now(UTC) - begun).total_seconds()) if begun is not None else None
    recipe = _TIME.fullmatch(name)
    return Run(name, recipe[2] if recipe else "", "running", begun, seconds, "", {})


def _begun(name: str) -> datetime | None:
    """When a run began, by its name, which has the time of this machine's clock."""
    found = _TIME.fullmatch(name)
    try:
        return datetime.strptime(found[1], "%Y%m%d-%H%M%S").astimezone() if found else None
    except ValueError:
        return None
