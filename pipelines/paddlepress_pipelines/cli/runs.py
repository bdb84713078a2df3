"""`runs`, `logs` and `clean`: what ran, what it printed, and what may go."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, LOCAL, AsJson, Home, HostOrLocal, Namespace, TokenFile

app = typer.Typer()


@app.command()
def runs(
    host: HostOrLocal = LOCAL,
    home: Home = DEFAULT_HOME,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    namespace: Namespace = None,
) -> None:
    """List runs: those of this machine's home, or of a Kubeflow server.

    The champion is the variant that was in production after the run; a server does not know it.
    """
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import runs as there
    from paddlepress_pipelines.local import runs as here

    if host == LOCAL:
        rows = [
            _row(run.id, run.state, run.started, run.seconds, run.states(), champion=run.champion)
            for run in here.listed(home)[:limit]
        ]
        empty = f"nothing has been run in {home}"
    else:
        cluster = connected(host, token_file, namespace)
        rows = [
            _row(run.id, run.state.lower(), run.started, run.seconds, run.error, name=run.name)
            for run in there.newest(cluster, limit)
        ]
        empty = f"{cluster.host} has no runs"
    if as_json:
        print(json.dumps(rows, indent=2))
    elif not rows:
        print(empty)
    else:
        _show(rows)


@app.command()
def logs(
    run: Annotated[
        str, typer.Argument(help="A run's name or id, of `paddlepress runs`; last: the newest here.", metavar="RUN")
    ],
    task: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="One of its tasks. Default: all of them.", metavar="TASK"),
    ] = None,
    host: HostOrLocal = LOCAL,
    home: Home = DEFAULT_HOME,
    token_file: TokenFile = None,
    namespace: Namespace = None,
) -> None:
    """Print what the tasks of a run printed."""
    printed = _local_logs(home, run, task) if host == LOCAL else _cluster_logs(host, run, task, token_file, namespace)
    for title, text in printed:
        if task is None or len(printed) > 1:
            print(f"==> {title}")
        print(text.rstrip("\n"))


@app.command()
def clean(
    older_than: Annotated[
        str, typer.Option("--older-than", help="What was used since then stays: 12h, 30d, 8w.", metavar="AGE")
    ] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Remove old runs, what no run that stays has used of the cache, and what killed processes left.

    The newest run of each recipe stays, with all that it made, and so does the registry.
    """
    from paddlepress.core.errors import UsageError
    from paddlepress_pipelines.local import cleaning

    age = cleaning.seconds_of(older_than)
    if not home.is_dir():
        raise UsageError(f"there is no home in {home}. Run a recipe first, or give --home")
    found = cleaning.leftovers(home, age) if dry_run else cleaning.clean(home, age)
    total = sum(one.bytes for one in found)
    if as_json:
        rows = [{"path": str(one.path), "kind": one.kind, "why": one.why, "bytes": one.bytes} for one in found]
        print(json.dumps({"removed": not dry_run, "bytes": total, "found": rows}, indent=2))
        return
    for one in found:
        print(f"{one.bytes:>15,}  {one.path}: {one.why}")
    count = f"{len(found)} {'thing' if len(found) == 1 else 'things'}"
    print(f"{'Would remove' if dry_run else 'Removed'} {count}, {total:,} bytes")


def _local_logs(home: Path, run: str, task: str | None) -> list[tuple[str, str]]:
    """Titles and what was printed."""
    from paddlepress.core.errors import UsageError
    from paddlepress_pipelines.local import runs as here

    found = here.find(home, run)
    if not found.tasks:
        raise UsageError(f"run {found.id} is {found.state}: it has left no record of its tasks, and so no logs")
    told = []
    for name, about in here.tasks_named(found, task).items():
        text = here.log_of(home, found, name)
        state = str(about.get("state"))
        if text is not None:
            told.append((f"{about.get('title') or name} ({state})", text))
        elif task is not None:
            raise UsageError(f"run {found.id} has kept no log of task {name!r}, which is {state}")
    if not told:
        raise UsageError(f"run {found.id} has kept no logs")
    return told


def _cluster_logs(
    host: str, run: str, task: str | None, token_file: Path | None, namespace: str | None
) -> list[tuple[str, str]]:
    """Titles and what was printed; of all tasks, those are left out that have no log yet."""
    from paddlepress.core.errors import ClusterError
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import runs as there
    from paddlepress_pipelines.kubeflow.states import tasks_of, titles_of

    cluster = connected(host, token_file, namespace)
    found = there.find(cluster, run)
    told, refused = [], None
    for one in there.chosen(tasks_of(found, titles_of(cluster, found)), task, str(found.run_id)):
        try:
            told.append((f"{one.title} ({one.state.lower()})", there.log(cluster, str(found.run_id), one)))
        except ClusterError as error:
            refused = error
    if not told:
        raise refused or ClusterError(f"run {found.run_id} has no tasks yet")
    return told


def _row(
    run: str, state: str, started: datetime | None, seconds: float | None, about: str, **more: str
) -> dict[str, Any]:
    begun = started.isoformat(timespec="seconds") if started is not None else None
    return {
        "run": run,
        **more,
        "state": state,
        "started": begun,
        "seconds": round(seconds, 1) if seconds is not None else None,
        "tasks" if "champion" in more else "error": about,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from paddlepress_pipelines.cli.cluster import when
    from paddlepress_pipelines.cli.output import console
    from paddlepress_pipelines.local.display import duration

    colors = {"done": "green", "succeeded": "green", "failed": "red", "damaged": "red"}
    titles = {"seconds": "took"}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(titles.get(column, column), no_wrap=column == "run", overflow="fold")
    for row in rows:
        shown = row | {
            "started": when(datetime.fromisoformat(row["started"])) if row["started"] else "",
            "seconds": duration(row["seconds"]) if row["seconds"] is not None else "",
        }
        table.add_row(
            *(Text(str(shown[column]), colors.get(row["state"], "") if column == "state" else "") for column in row)
        )
    console().print(table)
