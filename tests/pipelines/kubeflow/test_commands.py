"""`submit`, `runs`, `logs`, `schedule` and `schedules` against a server, as a user meets them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import Done, in_this_process
from tests.kubeflow_server import Failure, KubeflowServer, kubeflow

__all__ = ["kubeflow"]

RECIPE = """\
name: small
title: Small
data: {source: digits, limit: 200, test_limit: 100, calibration: 50}
base:
  architecture: lenet
  training: {epochs: 1}
variants:
  sparse:
    - prune-weights: {sparsity: 0.8, recovery_epochs: 0}
  sparser:
    - prune-weights: {sparsity: 0.9, recovery_epochs: 0}
"""


Command = Callable[..., Done]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def command(kubeflow: KubeflowServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line on the server, in this process, without its pauses."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for variable in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "PADDLEPRESS_TOKEN"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: str | Path, host: str | None = None) -> Done:
        return in_this_process(monkeypatch, capsys, *arguments, "--host", host or kubeflow.url)

    return run


def versions(server: KubeflowServer, pipeline: str) -> list[str]:
    """What a pipeline's versions are called, the oldest first."""
    (identity,) = [key for key, one in server.pipelines.items() if one.display_name == pipeline]
    return [one.display_name for one in server.versions.values() if one.pipeline_id == identity]


def test_a_recipe_is_submitted_and_followed_to_its_end(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """A version and a run are there, each task is shown by its title, and the same recipe is not uploaded again."""
    done = command("submit", recipe, "--follow", "--experiment", "nightly")
    assert done.code == 0, done.err
    (run,) = kubeflow.runs.values()
    assert [one.display_name for one in kubeflow.experiments.values()] == ["nightly"]
    assert run.run_id in done.out and f"{kubeflow.url}/#/runs/details/{run.run_id}" in done.out
    for line in ("… evaluate sparse", "✓ evaluate sparser 3.0 s", "✓ load-data", "Succeeded after 1 min 05 s"):
        assert line in done.out
    assert "driver" not in done.out and "executor" not in done.out
    again = command("submit", recipe)
    assert again.code == 0, again.err
    assert "(there already)" in again.out and "Succeeded" not in again.out
    assert len(kubeflow.runs) == 2
    changed = command("submit", recipe, "--only", "sparse")
    assert changed.code == 0 and "(uploaded)" in changed.out
    first, second = versions(kubeflow, "paddlepress-small")
    assert re.fullmatch(r"small-[0-9]{8}-[0-9]{6}-[0-9a-f]{12}", first) and first != second


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_a_run_that_does_not_succeed_is_a_failure(
    state: str, recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """The exit code is 1, and the line names the task, what it said and where its log is."""
    kubeflow.outcome, kubeflow.failing = state, "train" if state == "FAILED" else ""
    done = command("submit", recipe, "--wait")
    assert done.code == 1
    (run,) = kubeflow.runs
    (line,) = done.err.splitlines()
    assert f"run {run} is {state.lower()} after 1 min 05 s" in line
    if state == "FAILED":
        assert "train: it ran out of memory" in line
        assert f"`paddlepress logs {run} train --host {kubeflow.url}`" in line


def test_a_submission_outlives_a_server_that_stumbles(recipe: Path, command: Command, kubeflow: KubeflowServer) -> None:
    """Every request fails once, some after they were obeyed: one version, one run, and the end is told."""
    kubeflow.fail(
        Failure(503, on="GET /apis/v2beta1/healthz"),
        Failure(429, on="POST /apis/v2beta1/pipelines"),
        Failure(0, obeyed=True, on="POST /apis/v2beta1/pipelines/upload_version"),
        Failure(504, obeyed=True, on="POST /apis/v2beta1/runs"),
        Failure(500, on="GET /apis/v2beta1/runs/"),
        Failure(0, on="GET /apis/v2beta1/runs/"),
    )
    done = command("submit", recipe, "--wait")
    assert done.code == 0, done.err
    assert not kubeflow.failures
    assert len(kubeflow.runs) == len(kubeflow.versions) == len(kubeflow.pipelines) == 1
    assert "Succeeded" in done.out
    assert len(done.err.splitlines()) == 6 and "Traceback" not in done.err


def test_a_token_that_expires_meanwhile_says_that_the_run_goes_on(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """The page is named, for the run is not lost."""
    kubeflow.fail(Failure(401, on="GET /apis/v2beta1/runs/"))
    done = command("submit", recipe, "--wait")
    assert done.code == 2
    assert "asks for a token" in done.err and "The run may go on: http" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_server_that_does_not_take_the_pipeline_says_why(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """Its own words, and which compiler the pipeline is of."""
    kubeflow.fail(Failure(400, body='{"error_message": "unknown field 47"}', on="upload_version"))
    done = command("submit", recipe)
    assert done.code == 2
    assert "refuses it (400): unknown field 47. The pipeline is of kfp 2." in done.err
    assert not kubeflow.runs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "RECIPE", "--token-file", "nowhere"), ["can't read the token in nowhere"]),
        (("submit", "nowhere.yaml"), ["no recipe at nowhere.yaml"]),
        (("submit", "RECIPE", "--only", "other"), ["no variant 'other'"]),
        (("schedule", "RECIPE"), ["nothing is to be done", "--cron", "--delete"]),
        (("schedule", "RECIPE", "--pause", "--delete"), ["--pause and --delete exclude each other"]),
        (("schedule", "RECIPE", "--cron", "0 3 * *"), ["--cron '0 3 * *' has 4 fields"]),
        (("schedule", "RECIPE", "--pause"), ["unknown schedule 'small'", "Valid: none"]),
        (("schedule", "other", "--resume"), ["unknown schedule 'other'"]),
        (("logs", "other"), ["has no run 'other'", "none: it has no runs"]),
        (("logs", "01234567-89ab-cdef-0123-456789abcdef"), ["has no run '01234567-89ab"]),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], words: list[str], recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """With exit code 2, and nothing left on the server."""
    done = command(*(str(recipe) if one == "RECIPE" else one for one in arguments))
    assert done.code == 2
    (line,) = done.err.splitlines()
    for word in words:
        assert word in line
    assert not (kubeflow.pipelines or kubeflow.runs or kubeflow.recurring_runs)


def test_runs_are_listed_and_their_logs_printed(recipe: Path, command: Command, kubeflow: KubeflowServer) -> None:
    """The newest first, with state and duration; a task's log by its name or title, all of them without one."""
    assert command("runs").out == f"{kubeflow.url} has no runs\n"
    command("submit", recipe)
    command("submit", recipe, "--wait")
    rows = json.loads(command("runs", "--json", "--limit", "1").out)
    *_, newest = kubeflow.runs.values()
    assert rows[0]["run"] == newest.run_id and len(rows) == 1
    assert (rows[0]["state"], rows[0]["seconds"]) == ("succeeded", 65.0)
    assert newest.display_name in command("runs").out
    one = command("logs", newest.run_id, "evaluate sparse")
    assert re.fullmatch(r"printed by pod \S+-system-container-impl-20[0-9]{2}\n", one.out), one
    everything = command("logs", newest.display_name)
    assert everything.code == 0 and "==> evaluate sparse (succeeded)" in everything.out
    assert everything.out.count("printed by pod") == everything.out.count("==>") > 10
    unknown = command("logs", newest.run_id, "evaluat")
    assert unknown.code == 2 and "unknown task 'evaluat'. Did you mean 'evaluate'?" in unknown.err
    kubeflow.has_logs = False
    missing = command("logs", newest.run_id, "train")
    assert missing.code == 2
    assert "the log of task 'train' can't be had: " in missing.err and "has no log of it: Failed to read" in missing.err
    assert f"`kubectl logs -n kubeflow -c main -l pipeline/runid={newest.run_id}`" in missing.err


def test_a_recipe_is_scheduled_once_and_follows_changes(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """The server gets six fields and no version; a changed recipe is a new version, and nothing else is touched."""
    made = command("schedule", recipe, "--cron", "0 3 * * 7", "--timezone-note")
    assert made.code == 0, made.err
    assert "At 03:00 on Sunday (0 3 * * 7; to Kubeflow 0 0 3 * * 0)" in made.out
    assert len(re.findall(r"Sun [0-9-]{10} 03:00 UTC, here ", made.out)) == 3
    (schedule,) = kubeflow.recurring_runs.values()
    assert schedule.trigger.cron_schedule.cron == "0 0 3 * * 0"
    assert schedule.pipeline_version_reference.pipeline_version_id is None
    first = kubeflow.fire(schedule.recurring_run_id)
    first.state = "RUNNING"

    again = command("schedule", recipe, "--cron", "0 3 * * 7")
    assert "small is scheduled so already" in again.out
    assert command("submit", recipe, "--only", "sparse").code == 0  # changes no schedule
    assert len(versions(kubeflow, "paddlepress-small.schedule")) == 1

    recipe.write_text(RECIPE.replace("sparsity: 0.9", "sparsity: 0.95"))
    changed = command("schedule", recipe, "--cron", "0 3 * * 7")
    assert "Scheduled the new version of small; runs that are running go on" in changed.out
    assert list(kubeflow.recurring_runs) == [schedule.recurring_run_id]
    second = kubeflow.fire(schedule.recurring_run_id)
    reference = second.pipeline_version_reference.pipeline_version_id
    assert reference != first.pipeline_version_reference.pipeline_version_id
    assert "0.95" in json.dumps(kubeflow.versions[reference].pipeline_spec)
    assert first.state == "RUNNING"


def test_other_times_take_the_place_of_the_former(recipe: Path, command: Command, kubeflow: KubeflowServer) -> None:
    """Runs of the former schedule go on; one that was paused stays so."""
    command("schedule", recipe, "--cron", "0 3 * * *")
    (former,) = kubeflow.recurring_runs
    run = kubeflow.fire(former)
    run.state = "RUNNING"
    moved = command("schedule", recipe, "--cron", "30 4 * * *")
    assert moved.code == 0 and "Scheduled small anew; runs of the former schedule go on" in moved.out
    ((identity, schedule),) = kubeflow.recurring_runs.items()
    assert identity != former and run.state == "RUNNING"
    assert (schedule.trigger.cron_schedule.cron, schedule.status) == ("0 30 4 * * *", "ENABLED")
    command("schedule", recipe, "--pause")
    paused = command("schedule", recipe, "--cron", "0 5 * * *")
    assert "It is paused: --resume has it start runs" in paused.out
    assert [one.status for one in kubeflow.recurring_runs.values()] == ["DISABLED"]


@pytest.mark.parametrize("on", ["POST /apis/v2beta1/recurringruns", "DELETE", ":enable"])
def test_a_change_of_times_that_was_cut_off_is_finished(
    on: str, recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """The same command once more leaves one schedule, with the new times."""
    command("schedule", recipe, "--cron", "0 3 * * *")
    kubeflow.fail(Failure(400, on=on))
    assert command("schedule", recipe, "--cron", "0 5 * * *").code == 2
    assert kubeflow.recurring_runs
    assert command("schedule", recipe, "--cron", "0 5 * * *").code == 0
    (schedule,) = kubeflow.recurring_runs.values()
    assert schedule.trigger.cron_schedule.cron == "0 0 5 * * *"


def test_a_request_to_schedule_that_got_no_answer_makes_no_second(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """Neither of what was made nor of what was deleted."""
    kubeflow.fail(Failure(0, obeyed=True, on="POST /apis/v2beta1/recurringruns"))
    assert command("schedule", recipe, "--cron", "0 3 * * *").code == 0
    assert len(kubeflow.recurring_runs) == 1
    kubeflow.fail(Failure(504, obeyed=True, on="DELETE"))
    assert command("schedule", recipe, "--delete").code == 0
    assert not kubeflow.recurring_runs


def test_schedules_are_listed_paused_resumed_and_deleted(
    recipe: Path, command: Command, kubeflow: KubeflowServer
) -> None:
    """By the recipe's file or its name; other people's schedules are none of ours."""
    empty = command("schedules")
    assert empty.out == f"paddlepress has scheduled nothing on {kubeflow.url}\n"
    command("schedule", recipe, "--cron", "0 3 * * *")
    (schedule,) = kubeflow.recurring_runs.values()
    theirs = type(schedule)(**{**vars_of(schedule), "display_name": "theirs", "recurring_run_id": "1"})
    kubeflow.recurring_runs["1"] = theirs
    (row,) = json.loads(command("schedules", "--json").out)
    assert (row["recipe"], row["state"], row["cron"], row["kubeflow"]) == (
        "small",
        "active",
        "0 3 * * *",
        "0 0 3 * * *",
    )
    assert row["next"].endswith("T03:00+00:00")
    assert command("schedule", "small", "--pause").out == "Paused small; runs that are running go on\n"
    assert schedule.status == "DISABLED"
    (row,) = json.loads(command("schedules", "--json").out)
    assert (row["state"], row["next"]) == ("paused", None)
    resumed = command("schedule", recipe, "--resume")
    assert "Resumed small" in resumed.out and resumed.out.count("03:00 UTC") == 3
    assert schedule.status == "ENABLED"
    run = kubeflow.fire(schedule.recurring_run_id)
    run.state = "RUNNING"
    assert "Deleted the schedule of small" in command("schedule", "small", "--delete").out
    assert list(kubeflow.recurring_runs) == ["1"] and run.state == "RUNNING"


def vars_of(model: object) -> dict[str, object]:
    """The attributes of a model of the client."""
    return {name: getattr(model, name) for name in model.openapi_types}  # type: ignore[attr-defined]
