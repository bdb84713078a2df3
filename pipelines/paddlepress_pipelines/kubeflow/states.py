"""Runs on a server and the states of their tasks, as they go and at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paddlepress.core.errors import in_one_line
from paddlepress_pipelines.kubeflow.client import Cluster

OUTAGE_PATIENCE_S = 900.0
"""How long a server may be away while a run is watched."""
POLL_S = 5.0
ENDED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})
_EXECUTOR = re.compile(r"executor(\([0-9]+\))?")


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        id, name: what it is called.
        state: of Kubeflow's: PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED and others.
        started: when it was made.
        seconds: how long it took, or has been taking.
        error: why it failed, by the server's words; mostly empty.
        schedule: the id of the schedule that made it; empty if a person did.
    """

    id: str
    name: str
    state: str
    started: datetime | None
    seconds: float | None
    error: str
    schedule: str


@dataclass(frozen=True)
class Task:
    """A task of a run.

    Attributes:
        id: unique in the run, unlike the name of a task in a loop.
        name: in the pipeline.
        title: for people.
        state: as a run's.
        seconds: how long it took; None while it goes on.
        error: why it failed, by the server's words; mostly empty.
        pods: the names of its pods, or of the workflow's nodes that became pods; mostly one.
    """

    id: str
    name: str
    title: str
    state: str
    seconds: float | None
    error: str
    pods: tuple[str, ...]


def run_of(answer: Any) -> Run:
    """A server's `V2beta1Run`."""
    started, ended = _time(answer.created_at), _time(answer.finished_at)
    until = ended if ended is not None and (started is None or ended >= started) else None
    state = str(answer.state or "PENDING")
    if until is None and state not in ENDED:
        until = datetime.now(UTC)
    return Run(
        id=str(answer.run_id),
        name=str(answer.display_name or ""),
        state=state,
        started=started,
        seconds=max(0.0, (until - started).total_seconds()) if started is not None and until is not None else None,
        error=in_one_line(answer.error.message, 300) if answer.error is not None and answer.error.message else "",
        schedule=str(answer.recurring_run_id or ""),
    )


def titles_of(cluster: Cluster, answer: Any) -> dict[str, str]:
    """What the tasks of a server's `V2beta1Run` are called for people, by their names; empty where that isn't known.

    Loops and nested pipelines, which are no tasks of their own, are not among them, but the tasks inside are.
    """
    reference = answer.pipeline_version_reference
    if reference is None or not reference.pipeline_version_id:
        return {}
    version = cluster.call(
        cluster.pipelines.pipeline_service_get_pipeline_version, reference.pipeline_id, reference.pipeline_version_id
    )
    try:
        # With a platform's settings beside it, the specification is one level deeper.
        spec = version.pipeline_spec.get("pipeline_spec", version.pipeline_spec)
        graphs = [part["dag"]["tasks"] for part in (spec["root"], *spec["components"].values()) if "dag" in part]
        return {
            str(name): str(task["taskInfo"]["name"])
            for graph in graphs
            for name, task in graph.items()
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]
        }
    except (KeyError, TypeError, AttributeError):
        return {}


def tasks_of(answer: Any, titles: Mapping[str, str]) -> list[Task]:
    """The tasks of a server's `V2beta1Run`, in the order in which they began.

    The server tells every node of its workflow: of a task `export` the nodes `export-driver`, `export` and, below it,
    `executor`; before them all one with the workflow's own name, `root-driver` and `root`. A task in a loop has as many
    nodes as the loop has turns. A driver that failed is told, too.

    Args:
        answer: the run.
        titles: of its tasks by name, see `titles_of`; without any, whatever may be a task is told.
    """
    nodes = list(answer.run_details.task_details or ()) if answer.run_details is not None else []
    names = {str(node.display_name) for node in nodes}
    found = []
    for node in nodes:
        name, state = str(node.display_name or ""), str(node.state or "PENDING")
        below = [str(child.pod_name) for child in node.child_tasks or () if child.pod_name]
        driver = name.endswith("-driver") and name.removesuffix("-driver") in names
        workflow = any(pod.startswith(f"{name}-") for pod in below)
        group = (name not in titles and bool(titles)) or workflow or name in ("root", "") or _EXECUTOR.fullmatch(name)
        if state != "FAILED" if driver else group:
            continue
        begun, ended = _time(node.start_time), _time(node.end_time)
        seconds = (ended - begun).total_seconds() if begun and ended and ended >= begun else None
        error = in_one_line(node.error.message, 300) if node.error is not None and node.error.message else ""
        pods = (str(node.pod_name),) if node.pod_name else tuple(below)
        task = Task(str(node.task_id), name, titles.get(name, name), state, seconds, error, pods)
        found.append((begun or datetime.max.replace(tzinfo=UTC), name, task))
    return [task for _, _, task in sorted(found, key=lambda one: one[:2])]


def follow(
    cluster: Cluster, run: str, told: Callable[[Task], None], *, poll_s: float = POLL_S
) -> tuple[Run, Sequence[Task]]:
    """Wait for the end of a run.

    Args:
        cluster: the server.
        run: the run's id.
        told: of each task whenever its state is another.
        poll_s: how often the server is asked, in seconds.

    Raises:
        ClusterError: the server stayed away, or the token is no longer good; the run goes on.
    """
    states: dict[str, str] = {}
    titles: dict[str, str] | None = None
    while True:
        answer = cluster.call(cluster.runs.run_service_get_run, run, patience_s=OUTAGE_PATIENCE_S)
        if titles is None:
            titles = titles_of(cluster, answer)
        tasks = tasks_of(answer, titles)
        for task in tasks:
            if states.get(task.id) != task.state:
                states[task.id] = task.state
                told(task)
        now = run_of(answer)
        if now.state in ENDED:
            return now, tasks
        time.sleep(poll_s)


def _time(value: Any) -> datetime | None:
    """A time of the server's; None for the years before computers, which stand for none."""
    if not isinstance(value, datetime) or value.year <= 1970:
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
