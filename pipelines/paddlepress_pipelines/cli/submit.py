"""`submit`: a recipe as a run on a Kubeflow server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from paddlepress_pipelines.cli.options import Host, Namespace, RecipePath, TokenFile
from paddlepress_pipelines.cli.run import Only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paddlepress_pipelines.kubeflow.client import Cluster
    from paddlepress_pipelines.kubeflow.states import Run, Task

app = typer.Typer()

Experiment = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--experiment", help="The experiment that the run is in. Default: the recipe's name.", metavar="NAME"),
]


@app.command()
def submit(
    recipe: RecipePath,
    host: Host = None,
    experiment: Experiment = None,
    only: Only = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run's end; the exit code tells it.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait, and show each task as it goes.")] = False,
    token_file: TokenFile = None,
    namespace: Namespace = None,
) -> None:
    """Run a recipe on a Kubeflow Pipelines server.

    It is uploaded as a new version of its pipeline, unless the newest is the same.
    """
    from paddlepress.core.errors import PaddlepressError
    from paddlepress_pipelines.cli import output
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import submission
    from paddlepress_pipelines.recipe import load

    console = output.console()
    chosen = load(recipe, build=True).only(only or [])
    cluster = connected(host, token_file, namespace)
    version = submission.upload(cluster, chosen, submission.pipeline_of(chosen.name))
    state = "uploaded" if version.new else "there already"
    console.print(f"Version  {version.name} ({state})", highlight=False, markup=False, soft_wrap=True)
    run = submission.start(cluster, chosen, version, experiment or chosen.name)
    page = cluster.link(f"runs/details/{run.run_id}")
    console.print(f"Run      {run.run_id} {run.display_name}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Page     {page}", highlight=False, markup=False, soft_wrap=True)
    if not (wait or follow):
        return
    try:
        ended, tasks = _watched(cluster, str(run.run_id), show=follow)
    except PaddlepressError as error:
        raise type(error)(f"{error}. The run may go on: {page}") from None
    except KeyboardInterrupt:
        console.print(f"The run goes on: {page}", highlight=False, markup=False, soft_wrap=True)
        raise
    _conclude(cluster, ended, tasks)


def _watched(cluster: Cluster, run: str, *, show: bool) -> tuple[Run, Sequence[Task]]:
    """Wait for a run's end."""
    from rich.text import Text

    from paddlepress_pipelines.cli import output
    from paddlepress_pipelines.kubeflow.states import follow
    from paddlepress_pipelines.local.display import duration

    console = output.console()
    marks = {"SUCCEEDED": ("✓", "green"), "FAILED": ("✗", "red"), "RUNNING": ("…", ""), "PENDING": ("·", "dim")}

    def told(task: Task) -> None:
        if not show:
            return
        mark, color = marks.get(task.state, ("-", "dim"))
        took = f" {duration(task.seconds)}" if task.seconds is not None and task.state != "RUNNING" else ""
        state = "" if task.state in marks else f" {task.state.lower()}"
        error = f": {task.error}" if task.error else ""
        console.print(Text.assemble((f"  {mark} ", color), task.title, (state + took, "dim"), error), soft_wrap=True)

    return follow(cluster, run, told)


def _conclude(cluster: Cluster, run: Run, tasks: Sequence[Task]) -> None:
    """Say how a run ended.

    Raises:
        PaddlepressError: it did not succeed.
    """
    from paddlepress.core.errors import PaddlepressError
    from paddlepress_pipelines.local.display import duration

    took = f" after {duration(run.seconds)}" if run.seconds is not None else ""
    if run.state == "SUCCEEDED":
        print(f"Succeeded{took}")
        return
    failed = next((task for task in tasks if task.state == "FAILED"), None)
    what = f"run {run.id} is {run.state.lower()}{took}"
    why = f"{failed.title}: {failed.error or 'it failed'}" if failed is not None else run.error
    logs = f"paddlepress logs {run.id}{f' {failed.name}' if failed is not None else ''} --host {cluster.host}"
    raise PaddlepressError(f"{what}{f': {why}' if why else ''}. `{logs}` shows what was printed")
