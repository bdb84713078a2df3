"""The runs of a server: all of them, one by its id or name, and what its tasks printed."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

from paddlepress.core.errors import ClusterError, UnknownName
from paddlepress_pipelines.kubeflow.client import Cluster
from paddlepress_pipelines.kubeflow.failures import Missing, Refused
from paddlepress_pipelines.kubeflow.states import Run, Task, run_of
from paddlepress_pipelines.kubeflow.submission import run_named

_TEMPLATES = ("system-container-impl", "retry-system-container-impl")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def newest(cluster: Cluster, count: int) -> list[Run]:
    """The newest runs, the newest first."""
    listing = cluster.runs.run_service_list_runs
    found = cluster.listed(listing, "runs", namespace=cluster.namespace, sort_by="created_at desc")
    return [run_of(one) for one in islice(found, count)]


def find(cluster: Cluster, run: str) -> Any:
    """The server's `V2beta1Run` of an id or a name.

    Raises:
        ClusterError: there is none.
    """
    found = None
    if _ID.fullmatch(run):
        try:
            found = cluster.call(cluster.runs.run_service_get_run, run)
        except Missing:
            found = None
    elif (named := run_named(cluster, run)) is not None:
        found = cluster.call(cluster.runs.run_service_get_run, named.run_id)
    if found is None:
        some = ", ".join(f"{one.id} ({one.name})" for one in newest(cluster, 3)) or "none: it has no runs"
        raise ClusterError(f"{cluster.host} has no run {run!r}. Valid: {some}, or another of `paddlepress runs`")
    return found


def chosen(tasks: list[Task], name: str | None, run: str) -> list[Task]:
    """The tasks of a name or title; all of them without one.

    Raises:
        UnknownName: none of them has it.
    """
    found = [task for task in tasks if name in (None, task.name, task.title)]
    if not found and name is not None:
        raise UnknownName("task", name, (task.name for task in tasks), f"run {run}")
    return found


def log(cluster: Cluster, run: str, task: Task) -> str:
    """What a task printed.

    Raises:
        ClusterError: the server doesn't give it, which has several reasons.
    """
    refused = ""
    for pod in _pods(task):
        try:
            text = cluster.text("/apis/v1alpha1/runs/{run}/nodes/{pod}/log", run=run, pod=pod)
        except (Missing, Refused) as error:
            refused = str(error)
            continue
        if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
            refused = f"{cluster.host} passes no logs on"  # the user interface in front of the server
            break
        problem = _error(text)
        if not problem:
            return text
        refused = f"{cluster.host} has no log of it: {problem}"
    where = f"-n {cluster.namespace or 'kubeflow'}"
    raise ClusterError(
        f"the log of task {task.name!r} can't be had: {refused or 'it has no pod yet'}. While its pod is there, "
        f"`kubectl logs {where} -c main -l pipeline/runid={run}` shows it"
    )


def _pods(task: Task) -> list[str]:
    """The names that a task's pod may have: Argo puts the template before the number that ends a node's name."""
    found = []
    for pod in task.pods:
        workflow, _, number = pod.rpartition("-")
        if workflow and not any(template in pod for template in _TEMPLATES):
            found += [f"{workflow}-{template}-{number}" for template in _TEMPLATES]
        found.append(pod)
    return found


def _error(text: str) -> str:
    """The error that the server writes where the log would be, behind a status that says all is well."""
    start = text.rfind('{"error_message"')
    if start < 0:
        return ""
    try:
        content = json.loads(text[start:])
    except ValueError:
        return ""
    return str(content.get("error_message", ""))[:300] if isinstance(content, dict) else ""
