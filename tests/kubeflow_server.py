"""A Kubeflow Pipelines server for tests: HTTP, with state, in the words of the official client's models.

What it checks and answers follows KFP 2.17's API server: uploads are parsed as pipeline specs, names are unique where
they are there, a recurring run without a version takes the newest, deleting one takes its running runs along unless
they are orphaned, and cron is read by robfig/cron 1.2, which has six fields and no Sunday 7.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api as models
import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from ruamel.yaml import YAML

_API = models.ApiClient()
_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMES = (
    (["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1),
    (["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 0),
)


GROUPS = ("for-loop-1", "iteration-iterations", "iteration-item(0:0)", "iteration-item(1:1)")
"""The nodes of a loop that are no tasks."""


@dataclass
class Failure:
    """What happens to a request instead of an answer.

    Attributes:
        status: of the answer; 0: the connection is closed without one.
        body, headers: of the answer.
        obeyed: whether the request is obeyed all the same.
        on: the requests that it happens to: a part of `METHOD /path`.
        wait_s: how long the server thinks first.
    """

    status: int = 0
    body: str = '{"error": "injected", "code": 14, "message": "injected", "details": []}'
    headers: dict[str, str] = field(default_factory=dict)
    obeyed: bool = False
    on: str = ""
    wait_s: float = 0.0


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class KubeflowServer:
    """The state of a server, and how it behaves.

    Attributes:
        url: where it is.
        token: what it asks for; empty: nothing.
        multi_user: whether it has namespaces.
        version: what its health tells.
        kind: `kfp`, `v1` (which knows no v2beta1) or `page` (a page of HTML for whatever is asked).
        outcome: the state in which runs end.
        failing: the name of the task that fails in them.
        steps: how often a run is asked for before it ends.
        has_logs: whether it gives logs.
        failures: what happens to the next requests.
        requests: what has been asked: `METHOD /path`.
    """

    url: str = ""
    token: str = ""
    multi_user: bool = False
    version: str = "2.17.0"
    kind: str = "kfp"
    outcome: str = "SUCCEEDED"
    failing: str = ""
    steps: int = 2
    has_logs: bool = True
    failures: list[Failure] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.experiments: dict[str, Any] = {}
        self.pipelines: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.recurring_runs: dict[str, Any] = {}
        self.asked: dict[str, int] = {}
        self.lock = threading.RLock()
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    def fail(self, *failures: Failure) -> None:
        """Have these happen to the next requests that they are for."""
        self.failures += failures

    def fire(self, recurring_run: str) -> Any:
        """What the controller does when a recurring run's time has come."""
        schedule = self.recurring_runs[recurring_run]
        reference = schedule.pipeline_version_reference
        version = reference.pipeline_version_id or self._newest(reference.pipeline_id).pipeline_version_id
        run = models.V2beta1Run(
            display_name=f"{schedule.display_name}-1",
            experiment_id=schedule.experiment_id,
            pipeline_version_reference=models.V2beta1PipelineVersionReference(
                pipeline_id=reference.pipeline_id, pipeline_version_id=version
            ),
        )
        return self._add_run(run, recurring_run)

    def now(self) -> datetime:
        """A clock that ticks with each look: whatever is made later is newer."""
        with self.lock:
            self._clock += timedelta(seconds=1)
            return self._clock

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, content_type: str) -> Any:
        """The model, JSON value or text that a request gets."""
        if path == "/apis/v1beta1/healthz":
            return {"multi_user": False}
        if self.kind == "v1":
            raise Refusal(404, "Not Found")
        if log := re.fullmatch(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", path):
            return self._log(log[1], unquote(log[2]))
        if not path.startswith("/apis/v2beta1/"):
            raise Refusal(404, "Not Found")
        place = path.removeprefix("/apis/v2beta1/")
        if place == "healthz":
            return {"multi_user": self.multi_user, "tag_name": self.version, "commit_sha": "unknown"}
        if place == "pipelines/upload_version":
            return self._upload(query, body, content_type)
        kind, _, rest = place.partition("/")
        collection, model, items = {
            "experiments": (self.experiments, "V2beta1Experiment", "experiments"),
            "pipelines": (self.pipelines, "V2beta1Pipeline", "pipelines"),
            "runs": (self.runs, "V2beta1Run", "runs"),
            "recurringruns": (self.recurring_runs, "V2beta1RecurringRun", "recurringRuns"),
        }.get(kind, (None, "", ""))
        if collection is None:
            raise Refusal(404, "Not Found")
        if not rest and method == "GET":
            self._check_namespace(query.get("namespace"), kind)
            return _listing(list(collection.values()), items, query)
        if not rest:
            return self._create(kind, _read(body, model))
        if kind == "pipelines" and "/versions" in rest:
            pipeline, _, version = rest.partition("/versions")
            versions = {key: one for key, one in self.versions.items() if one.pipeline_id == pipeline}
            if version:
                return versions[version.removeprefix("/")]
            return _listing(list(versions.values()), "pipeline_versions", query)
        identity, _, action = rest.partition(":")
        if identity not in collection:
            raise Refusal(404, f"{kind} {identity} not found")
        if method == "DELETE":
            return self._delete(collection, identity, query)
        if action in ("enable", "disable"):
            collection[identity].status = f"{action.upper()}D"
            return {}
        return self._advanced(identity) if kind == "runs" else collection[identity]

    def _create(self, kind: str, wanted: Any) -> Any:
        identity = str(uuid.uuid4())
        wanted.created_at = self.now()
        if kind == "experiments":
            self._check_namespace(wanted.namespace, kind)
            self._check_free(self.experiments, wanted.display_name)
            wanted.experiment_id = identity
            self.experiments[identity] = wanted
        elif kind == "pipelines":
            self._check_namespace(wanted.namespace, kind)
            self._check_free(self.pipelines, wanted.display_name)
            wanted.pipeline_id, wanted.name = identity, wanted.display_name
            self.pipelines[identity] = wanted
        elif kind == "runs":
            reference = wanted.pipeline_version_reference
            if reference is None or reference.pipeline_version_id not in self.versions:
                raise Refusal(400, "a run needs a pipeline version")
            return self._add_run(wanted, "")
        else:
            _check_cron(wanted.trigger.cron_schedule.cron)
            if not 1 <= int(wanted.max_concurrency or 0) <= 10:
                raise Refusal(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
            if wanted.experiment_id not in self.experiments:
                raise Refusal(400, "a recurring run needs an experiment")
            self._newest(wanted.pipeline_version_reference.pipeline_id)
            wanted.recurring_run_id = identity
            wanted.status = "ENABLED" if wanted.mode == "ENABLE" else "DISABLED"
            self.recurring_runs[identity] = wanted
        return wanted

    def _upload(self, query: dict[str, str], body: bytes, content_type: str) -> Any:
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        (part,) = message.iter_parts()
        content = YAML(typ="safe", pure=True).load(part.get_payload(decode=True))
        try:
            json_format.ParseDict(content, pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise Refusal(400, f"Failed to create a pipeline version: {error}") from None
        if query["pipelineid"] not in self.pipelines:
            raise Refusal(400, "Failed to create a pipeline version")
        self._check_free(self.versions, query["name"])
        version = models.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=str(uuid.uuid4()),
            display_name=query["name"],
            name=query["name"],
            description=query.get("description"),
            created_at=self.now(),
            pipeline_spec=content,
        )
        self.versions[version.pipeline_version_id] = version
        return version

    def _delete(self, collection: dict[str, Any], identity: str, query: dict[str, str]) -> Any:
        del collection[identity]
        if query.get("propagation_policy") != "ORPHAN":
            for run in self.runs.values():
                if run.recurring_run_id == identity and run.state == "RUNNING":
                    run.state = "FAILED"
        return {}

    def _add_run(self, run: Any, recurring_run: str) -> Any:
        run.run_id, run.created_at, run.state = str(uuid.uuid4()), self.now(), "PENDING"
        run.recurring_run_id = recurring_run or None
        self.runs[run.run_id] = run
        return run

    def _advanced(self, identity: str) -> Any:
        """A run as it is at each question: one task after the other runs and ends."""
        run = self.runs[identity]
        if run.state in ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"):
            return run
        asked = self.asked[identity] = self.asked.get(identity, 0) + 1
        over = asked > self.steps
        run.state = self.outcome if over else "RUNNING"
        spec = self.versions[run.pipeline_version_reference.pipeline_version_id].pipeline_spec
        run.run_details = models.V2beta1RunDetails(task_details=self._nodes(run, _unrolled(spec, spec["root"]), over))
        if over:
            run.finished_at = run.created_at + timedelta(seconds=65)
            run.error = models.GoogleRpcStatus(message="workflow failed") if self.outcome == "FAILED" else None
        return run

    def _nodes(self, run: Any, tasks: list[str], over: bool) -> list[Any]:
        """The nodes of the workflow that Argo makes of a pipeline, as the server tells them."""
        workflow, epoch = "paddlepress-small-x7k2q", datetime(1970, 1, 1, tzinfo=UTC)

        def node(name: str, state: str, number: int, *children: str) -> Any:
            begun = run.created_at + timedelta(seconds=number)
            return models.V2beta1PipelineTaskDetail(
                run_id=run.run_id,
                task_id=str(uuid.uuid5(uuid.UUID(run.run_id), str(number))),
                display_name=name,
                create_time=begun,
                start_time=begun,
                end_time=begun + timedelta(seconds=3) if state in ("SUCCEEDED", "FAILED") else epoch,
                state=state,
                error=models.GoogleRpcStatus(message="it ran out of memory") if name == self.failing else None,
                child_tasks=[models.PipelineTaskDetailChildTask(pod_name=f"{workflow}-{child}") for child in children],
            )

        whole = self.outcome if over else "RUNNING"
        nodes = [node(workflow, whole, 0, "1"), node("root-driver", "SUCCEEDED", 1, "2"), node("root", whole, 2, "3")]
        for place, name in enumerate(tasks):
            if name in GROUPS:
                nodes.append(node(name, whole, 10 * place + 11, str(2000 + place)))
                continue
            state = "FAILED" if name == self.failing and over else "SUCCEEDED" if over else "RUNNING"
            nodes += [
                node(f"{name}-driver", "SUCCEEDED", 10 * place + 10, str(1000 + place)),
                node(name, state, 10 * place + 11, str(2000 + place)),
                node("executor", state, 10 * place + 12),
            ]
        return nodes

    def _log(self, run: str, pod: str) -> str:
        if not self.has_logs or run not in self.runs or "-system-container-impl-" not in pod:
            return '{"error_message":"Failed to read logs","error_details":"no pod"}'  # with status 200, as KFP does
        return f"printed by pod {pod}\n"

    def _newest(self, pipeline: str | None) -> Any:
        versions = [one for one in self.versions.values() if one.pipeline_id == pipeline]
        if not versions:
            raise Refusal(404, f"PipelineVersion {pipeline} not found")
        return max(versions, key=lambda one: one.created_at)

    def _check_free(self, collection: dict[str, Any], name: str) -> None:
        if any(one.display_name == name for one in collection.values()):
            raise Refusal(409, f"The name {name} already exists")

    def _check_namespace(self, namespace: str | None, kind: str) -> None:
        if self.multi_user and not namespace:
            raise Refusal(400, "Invalid input error: a namespace is required")
        if namespace and not self.multi_user:
            raise Refusal(400, f"Invalid input error: In single-user mode, {kind} cannot be filtered by namespace")


def _unrolled(spec: dict[str, Any], part: dict[str, Any]) -> list[str]:
    """The nodes below a part of a pipeline: a loop is done twice, and has nodes of its own around that."""
    found = []
    for name, task in part["dag"]["tasks"].items():
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            found += [*GROUPS, *2 * _unrolled(spec, component)]
        else:
            found.append(name)
    return found


def _read(body: bytes, model: str) -> Any:
    """A model of a request's JSON; a key that it does not have is refused."""
    content = json.loads(body)
    unknown = set(content) - set(getattr(models, model).attribute_map.values())
    if unknown:
        raise Refusal(400, f"unknown field {unknown}")
    return _API.deserialize(SimpleNamespace(data=body.decode()), model)


def _listing(found: list[Any], items: str, query: dict[str, str]) -> dict[str, Any]:
    """A page, as `filter`, `sort_by`, `page_size` and `page_token` want it."""
    for wanted in json.loads(query.get("filter") or "{}").get("predicates", []):
        if (wanted["operation"], wanted["key"]) != ("EQUALS", "display_name"):
            raise Refusal(400, f"unknown predicate {wanted}")
        found = [one for one in found if one.display_name == wanted["stringValue"]]
    found.sort(key=lambda one: one.created_at, reverse=query.get("sort_by") == "created_at desc")
    start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 10)
    end = start + min(size, 2)  # few: whoever reads only the first page is found out
    token = str(end) if end < len(found) else ""
    return {items: [_json(one) for one in found[start:end]], "total_size": len(found), "next_page_token": token}


def _json(model: Any) -> Any:
    return _API.sanitize_for_serialization(model)


def _check_cron(text: str) -> None:
    """What robfig/cron 1.2 refuses."""
    fields = text.split(" ")
    if len(fields) != 6:
        raise Refusal(400, f"Schedule cron is not a supported format: expected six fields: {text}")
    for field_text, (low, high), names in zip(fields, _BOUNDS, (None, None, None, None, *_NAMES), strict=True):
        for number in re.findall(r"(?<![/0-9])[0-9]+|[A-Z]+", field_text):
            value = names[0].index(number) + names[1] if names and number.isalpha() else int(number)
            if not low <= value <= high:
                raise Refusal(400, f"Schedule cron is not a supported format: {number} in {text}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: KubeflowServer

    def log_message(self, *arguments: Any) -> None:
        return None

    def do_GET(self) -> None:
        state, parts = self.state, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.command} {parts.path}"
        with state.lock:
            state.requests.append(asked)
            failure = next((one for one in state.failures if one.on in asked), None)
            if failure is not None:
                state.failures.remove(failure)
            status, answer = (0, "") if failure is not None and not failure.obeyed else self._answer(parts, body)
        if failure is not None:
            threading.Event().wait(failure.wait_s)
            if not failure.status:
                self.close_connection = True
                return
            status, answer = failure.status, failure.body
        self.send_response(status)
        for name, value in (failure.headers if failure is not None else {}).items():
            self.send_header(name, value)
        content = answer.encode()
        kind = "application/json" if answer[:1] in "{[" else "text/html" if answer[:1] == "<" else "text/plain"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_GET

    def _answer(self, parts: Any, body: bytes) -> tuple[int, str]:
        state = self.state
        if state.kind == "page":
            return 200, "<!doctype html><html><body>Welcome</body></html>"
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            sent = self.headers.get("Authorization")
            return 401, json.dumps({"code": 16, "message": f"Unauthenticated: {sent}", "details": []})
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            made = state.answer(self.command, parts.path, query, body, self.headers.get("Content-Type") or "")
        except Refusal as refusal:
            return refusal.status, json.dumps({"code": 3, "message": str(refusal), "details": []})
        return 200, made if isinstance(made, str) else json.dumps(_json(made))


@contextmanager
def serving(**settings: Any) -> Iterator[KubeflowServer]:
    """A server at work."""
    state = KubeflowServer(**settings)
    handler = type("Handler", (_Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def kubeflow() -> Iterator[KubeflowServer]:
    """A server that is as it should be, until a test says otherwise."""
    with serving() as server:
        yield server
