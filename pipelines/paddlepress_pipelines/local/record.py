"""What a run leaves in `HOME/runs/RUN`: `run.json`, which says what became of it, and its tasks' logs."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core import files
from paddlepress.core.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from paddlepress_pipelines.local.run import RunResult
    from paddlepress_pipelines.local.schedule import Outcome
    from paddlepress_pipelines.recipe import Recipe

RECORD = "run.json"
LOGS = "logs"


def write(result: RunResult, recipe: Recipe, home: Path) -> None:
    """Record a run, and put its report, if it has one, where the recipe's last is."""
    outcome, folder = result.outcome, home / "runs" / result.run
    logs = _keep_logs(result, folder)
    state = {
        name: "cached"
        if name in outcome.cached
        else "done"
        if name in outcome.done
        else "failed"
        if name in outcome.failed
        else "skipped"
        if name in outcome.skipped
        else "unfinished"
        for name in result.tasks
    }
    content = {
        "run": result.run,
        "recipe": recipe.model_dump(mode="json"),
        "started": datetime.fromtimestamp(time.time() - result.seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(result.seconds, 1),
        "interrupted": outcome.interrupted,
        "champion": _champion(result),
        # Relative names: a home that is moved or copied keeps its own models.
        "models": {variant: str(path.relative_to(home)) for variant, path in _models(result).items()},
        "tasks": {
            name: {
                "title": result.tasks[name].title,
                "state": state[name],
                "error": str(outcome.failed.get(name, "")),
                "log": logs.get(name, ""),
                "outputs": {k: v["uri"] for k, v in outcome.done[name].outputs.items()} if name in outcome.done else {},
            }
            for name in result.tasks
        },
    }
    files.write_text(folder / RECORD, json.dumps(content, indent=1))
    report = result.output("report", "report")
    if report is not None:
        files.write_text(home / "reports" / f"{recipe.name}.html", report.read_text(encoding="utf-8"))


def model_of(home: Path, name: str) -> Path:
    """Where a model is: the one of the recipe's last run that made, or found made, that variant.

    Args:
        home: where the runs are.
        name: `RECIPE/VARIANT`.

    Raises:
        UnknownName: there is none of that name; the message lists those that there are.
        UsageError: no run has made a model.
    """
    found: dict[str, Path] = {}
    # A run's name begins with its time.
    for path in sorted((home / "runs").glob(f"*/{RECORD}")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            recipe = run["recipe"]["name"]
            found |= {f"{recipe}/{variant}": home / model for variant, model in run.get("models", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # damaged: the other runs' models are there all the same
    if not found:
        raise UsageError(
            f"there is no folder {name!r}, and no run in {home} has made a model. Run a recipe first, or give --home"
        )
    if name not in found:
        recipe = f"{name.split('/')[0]}/"
        valid = [other for other in found if other.startswith(recipe)] or found
        raise UnknownName("model", name, valid, f"no such folder, and in {home}")
    return found[name]


def _keep_logs(result: RunResult, folder: Path) -> dict[str, str]:
    """Copy what tasks printed, which another run may replace in the cache; gives the copies' names below `folder`."""
    kept = {}
    for name in result.tasks:
        place = _log(result.outcome, name)
        if place is not None and place.is_file():
            kept[name] = f"{LOGS}/{name}.log"
            with files.replacing(folder / kept[name]) as temporary, files.writing(folder / kept[name]):
                shutil.copyfile(place, temporary)
    return kept


def _log(outcome: Outcome, task: str) -> Path | None:
    """Where a task's output is, if it began and has ended."""
    from paddlepress_pipelines.local.execute import LOG
    from paddlepress_pipelines.local.schedule import failure_log

    if task in outcome.failed:
        return failure_log(outcome.failed[task])
    outputs = outcome.done[task].outputs if task in outcome.done else {}
    return next((Path(output["uri"]).parent / LOG for output in outputs.values()), None)


def _champion(result: RunResult) -> dict[str, Any] | None:
    """Which version is in production after a run, and its variant; None if none is, or nothing was decided."""
    decision = result.json("promote", "decision") if "promote" in result.tasks else None
    if not decision or decision["champion"] is None:
        return None
    version, variant = decision["champion"], ""
    for task in result.tasks.values():
        if task.component == "register" and (made := result.json(task.name, "registration")):
            variant = made["variant"] if made["version"] == version else variant
    return {"version": version, "variant": variant}


def _models(result: RunResult) -> dict[str, Path]:
    """The finished models that were to be registered, by variant."""
    registering = [task for task in result.tasks.values() if task.component == "register"]
    wanted = {task.constants["made"]["variant"]: task.inputs["model"] for task in registering}
    found = {variant: result.output(*output) for variant, output in wanted.items()}
    return {variant: path for variant, path in found.items() if path is not None}
