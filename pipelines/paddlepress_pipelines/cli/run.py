"""`run` and `compile`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, Home, RecipePath

if TYPE_CHECKING:
    from rich.console import Console

    from paddlepress_pipelines.local.run import RunResult

app = typer.Typer()

Only = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--only", metavar="VARIANT", help="Make this variant alone; may be given several times."),
]


@app.command()
def run(
    recipe: RecipePath,
    only: Only = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make everything again, whatever is cached.")] = False,
    home: Home = DEFAULT_HOME,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--workers", min=1, help="Tasks at once. Default: one per core, at most 4."),
    ] = None,
) -> None:
    """Run a recipe on this machine: train, compress, evaluate, register, compare, promote.

    What is finished is kept by content: a run that was stopped goes on where it was, and a changed recipe
    makes only what the change touches.
    """
    from rich.text import Text

    from paddlepress_pipelines.cli import output
    from paddlepress_pipelines.local.run import run_recipe
    from paddlepress_pipelines.recipe import load

    console = output.console()
    chosen = load(recipe, build=True).only(only or [])
    count = len(chosen.variants)
    about = f"  {count} variant{'s' if count != 1 else ''}, home {home}"
    console.print(Text.assemble((chosen.title or chosen.name, "bold"), (about, "dim")), soft_wrap=True)
    result = run_recipe(chosen, home, console, fresh=fresh, workers=workers)
    _conclude(console, result, chosen.name, home, fresh)


@app.command()
def compile(
    recipe: RecipePath,
    output: Annotated[Path, typer.Option("--output", "-o", help="The KFP YAML file to write.", metavar="FILE")],
    only: Only = None,
) -> None:
    """Compile a recipe to KFP YAML, for a Kubeflow Pipelines cluster."""
    from paddlepress.core import files
    from paddlepress_pipelines.build import compile_to
    from paddlepress_pipelines.recipe import load
    from paddlepress_pipelines.workflow_size import MOST_ARGUMENT_BYTES, MOST_WORKFLOW_BYTES

    chosen = load(recipe, build=True).only(only or [])
    with files.replacing(output) as temporary:
        size = compile_to(chosen, str(temporary))
    print(
        f"Wrote {output}: {output.stat().st_size:,} bytes, of which a cluster makes a workflow of about "
        f"{size.workflow:,} bytes (at most {MOST_WORKFLOW_BYTES:,}) whose longest argument has {size.argument:,} "
        f"(at most {MOST_ARGUMENT_BYTES:,})"
    )


def _conclude(console: Console, result: RunResult, name: str, home: Path, fresh: bool) -> None:
    from paddlepress_pipelines.local.display import duration
    from paddlepress_pipelines.local.run import first_failure
    from paddlepress_pipelines.local.schedule import failure_log

    outcome, total = result.outcome, len(result.tasks)
    if outcome.interrupted:
        next_up = ", ".join(task.title for task in outcome.unfinished[:3])
        more = f" and {len(outcome.unfinished) - 3} more" if len(outcome.unfinished) > 3 else ""
        command = "the same command without --fresh" if fresh else "the same command"
        console.print(
            f"\nInterrupted. {len(outcome.done)} of {total} tasks are finished and kept; "
            f"{command} resumes with: {next_up}{more}. Training goes on from its last finished epoch.",
            highlight=False,
            markup=False,
        )
        sys.exit(130)
    failure = first_failure(outcome)
    if failure is not None:
        for error in outcome.failed.values():
            log = failure_log(error)
            if log is not None:
                console.print(f"Log: {log}", highlight=False, soft_wrap=True, markup=False)
        if outcome.skipped:
            kept = "What was registered before it failed is kept; the same command goes on from here"
            console.print(f"Nothing was compared or promoted. {kept}.", highlight=False)
        print(f"paddlepress: error: {failure}", file=sys.stderr)
        sys.exit(failure.exit_code)
    _show_decision(console, result)
    cached = f", {len(outcome.cached)} of {total} tasks from the cache" if outcome.cached else ""
    for what, where in (
        ("\nReport  ", home / "reports" / f"{name}.html"),
        ("Registry", _remote() or home / "mlflow.db"),
    ):
        console.print(f"{what} {where}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"[dim]Took {duration(result.seconds)}{cached}[/]", highlight=False)


def _show_decision(console: Console, result: RunResult) -> None:
    """The comparison, and who is champion and why."""
    from rich.text import Text

    from paddlepress.report.comparison import decided
    from paddlepress.report.data import ReportData
    from paddlepress.report.terminal import show

    decision = result.json("promote", "decision")
    report = decided(ReportData.model_validate(result.json("compare", "comparison")), decision)
    console.print()
    show(report, console)
    console.print(
        Text.assemble(("\nChampion" if report.champion else "\nNo champion", "bold cyan"), f"  {decision['reason']}")
    )


def _remote() -> str:
    import os

    from paddlepress.registry.location import redacted

    return redacted(os.environ.get("MLFLOW_TRACKING_URI", ""))
