"""What a run leaves in `HOME/runs/RUN/run.json`: what became of its tasks, and where its models are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core import files
from paddlepress.core.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from paddlepress_pipelines.local.run import RunResult
    from paddlepress_pipelines.recipe import Recipe

RECORD = "run.json"


def write(result: RunResult, recipe: Recipe, home: Path) -> None:
    """Record a run, and put its report, if it has one, where the recipe's last is."""
    outcome = result.outcome
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
        "seconds": round(result.seconds, 1),
        "interrupted": outcome.interrupted,
        # Relative names: a home that is moved or copied keeps its own models.
        "models": {variant: str(path.relative_to(home)) for variant, path in _models(result).items()},
        "tasks": {
            name: {
                "title": result.tasks[name].title,
                "state": state[name],
                "error": str(outcome.failed.get(name, "")),
                "outputs": {k: v["uri"] for k, v in outcome.done[name].outputs.items()} if name in outcome.done else {},
            }
            for name in result.tasks
        },
    }
    files.write_text(home / "runs" / result.run / RECORD, json.dumps(content, indent=1))
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


def _models(result: RunResult) -> dict[str, Path]:
    """The finished models that were to be registered, by variant."""
    registering = [task for task in result.tasks.values() if task.component == "register"]
    wanted = {task.constants["made"]["variant"]: task.inputs["model"] for task in registering}
    found = {variant: result.output(*output) for variant, output in wanted.items()}
    return {variant: path for variant, path in found.items() if path is not None}
