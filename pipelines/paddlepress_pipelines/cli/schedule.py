"""`schedule` and `schedules`: a recipe that runs at set times, on a Kubeflow server or on this machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from paddlepress_pipelines.cli.options import (
    DEFAULT_HOME,
    LOCAL,
    AsJson,
    Home,
    Host,
    HostOrLocal,
    Namespace,
    RecipePath,
    TokenFile,
)
from paddlepress_pipelines.cli.submit import Experiment

if TYPE_CHECKING:
    from paddlepress_pipelines.cron import Cron
    from paddlepress_pipelines.recipe import Recipe

app = typer.Typer()


@app.command()
def schedule(
    recipe: RecipePath,
    cron: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--cron",
            help="When: minute, hour, day of month, month, day of week; '0 3 * * *' is every day at three.",
            metavar="'M H D M W'",
        ),
    ] = None,
    host: Host = None,
    local: Annotated[
        bool, typer.Option("--local", help="On this machine, by a timer of systemd or a line of the crontab.")
    ] = False,
    experiment: Experiment = None,
    pause: Annotated[bool, typer.Option("--pause", help="Have it start no runs until it is resumed.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Have a paused one start runs again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take it away; a run that is running goes on.")] = False,
    timezone_note: Annotated[
        bool, typer.Option("--timezone-note", help="Print the next times on this machine's clock, too.")
    ] = False,
    home: Home = DEFAULT_HOME,
    token_file: TokenFile = None,
    namespace: Namespace = None,
) -> None:
    """Have a recipe run at set times, on a Kubeflow server (in UTC) or with --local on this machine.

    Once more with a changed recipe or other times changes the schedule; a recipe never has two, and runs that are
    running go on. RECIPE may be its name with --pause, --resume and --delete.
    """
    from paddlepress.core.errors import UsageError

    local = local or host == LOCAL
    verbs = {"--cron": cron is not None, "--pause": pause, "--resume": resume, "--delete": delete}
    chosen = [verb for verb, given in verbs.items() if given]
    if len(chosen) != 1:
        said = f"{' and '.join(chosen)} exclude each other" if chosen else "nothing is to be done"
        raise UsageError(f"{said}. Valid: one of --cron 'M H D M W', --pause, --resume, --delete")
    if cron is not None:
        from paddlepress_pipelines.cron import Cron
        from paddlepress_pipelines.recipe import load

        times, loaded = Cron.parse(cron), load(recipe, build=True)
        if local:
            _put_here(recipe, loaded, times, home)
        else:
            _put_there(loaded, times, experiment, host, token_file, namespace, timezone_note)
        return
    name = _name(recipe)
    if local:
        _change_here(name, chosen[0])
    else:
        _change_there(name, chosen[0], host, token_file, namespace)


@app.command()
def schedules(
    host: HostOrLocal = LOCAL,
    as_json: AsJson = False,
    token_file: TokenFile = None,
    namespace: Namespace = None,
) -> None:
    """List the recipes that run at set times, on this machine or on a Kubeflow server, with their next time."""
    rows = _rows_here() if host == LOCAL else _rows_there(host, token_file, namespace)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"paddlepress has scheduled nothing on {'this machine' if host == LOCAL else host}")
        return
    from rich.table import Table
    from rich.text import Text

    from paddlepress_pipelines.cli.output import console

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value if value is not None else "")) for value in row.values()))
    console().print(table)


def _put_there(
    recipe: Recipe,
    cron: Cron,
    experiment: str | None,
    host: str | None,
    token_file: Path | None,
    namespace: str | None,
    timezone_note: bool,
) -> None:
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import schedules as there

    change = there.put(connected(host, token_file, namespace), recipe, cron, experiment or recipe.name)
    done = {
        "created": f"Scheduled {recipe.name}",
        "moved": f"Scheduled {recipe.name} anew; runs of the former schedule go on",
        "updated": f"Scheduled the new version of {recipe.name}; runs that are running go on",
        "unchanged": f"{recipe.name} is scheduled so already",
    }[change.done]
    print(f"{done}: {cron.meaning()} ({cron.text}; to Kubeflow {change.schedule.cron})")
    print(f"Version  {change.version.name}")
    if not change.schedule.enabled:
        print("It is paused: --resume has it start runs")
    _tell_next(cron, UTC, note=timezone_note)
    print("Times are in UTC, unless the server's CRON_SCHEDULE_TIMEZONE says otherwise")


def _put_here(path: Path, recipe: Recipe, cron: Cron, home: Path) -> None:
    import os

    from paddlepress_pipelines.local import timer

    command, log = timer.command_for(path, home), home.absolute() / "schedules" / f"{recipe.name}.log"
    made = timer.put(recipe.name, cron, command, Path.cwd(), log)
    print(f"Scheduled {recipe.name} by {made.by}: {cron.meaning()} ({cron.text})")
    print(f"Command  {made.command}")
    print(f"Log      {log}")
    _tell_next(cron, None, note=False)
    if made.by == "systemd":
        print("While nobody is logged in it runs only after `loginctl enable-linger`")
    if os.environ.get("MLFLOW_TRACKING_URI"):
        print("MLFLOW_TRACKING_URI is set here, and will not be there: set it for systemd or cron, if it is needed")


def _change_there(name: str, verb: str, host: str | None, token_file: Path | None, namespace: str | None) -> None:
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import schedules as there

    cluster = connected(host, token_file, namespace)
    if verb == "--pause":
        there.pause(cluster, name)
    elif verb == "--delete":
        there.delete(cluster, name)
    else:
        resumed = there.resume(cluster, name).times()
        if resumed is not None:
            _tell_next(resumed, UTC, note=False)
    print(_DONE[verb].format(name))


def _change_here(name: str, verb: str) -> None:
    from paddlepress_pipelines.local import timer

    if verb == "--delete":
        timer.delete(name)
    else:
        changed = timer.switch(name, enabled=verb == "--resume")
        if changed.enabled and changed.cron is not None:
            _tell_next(changed.cron, None, note=False)
    print(_DONE[verb].format(name))


_DONE = {
    "--pause": "Paused {}; runs that are running go on",
    "--resume": "Resumed {}",
    "--delete": "Deleted the schedule of {}; runs that are running go on",
}


def _name(recipe: Path) -> str:
    """The recipe's name: of its file, or what was given where there is no such file."""
    from paddlepress_pipelines.recipe import load

    return load(recipe).name if recipe.is_file() else str(recipe)


def _next(cron: Cron, zone: tzinfo | None, count: int) -> list[datetime]:
    """The next times in a zone; None: on this machine's clock, whatever the season then."""
    times = cron.next(datetime.now(zone), count)
    return times if zone is not None else [time.astimezone() for time in times]


def _tell_next(cron: Cron, zone: tzinfo | None, *, note: bool) -> None:
    """Print the next three times."""
    for number, time in enumerate(_next(cron, zone, 3)):
        here = f", here {time.astimezone():%a %Y-%m-%d %H:%M %Z}" if note else ""
        print(f"{'Next' if number == 0 else '':8} {time:%a %Y-%m-%d %H:%M} {time:%Z}{here}")


def _rows_here() -> list[dict[str, Any]]:
    from paddlepress_pipelines.local import timer

    return [_row(one.recipe, one.cron, one.enabled, None, by=one.by, command=one.command) for one in timer.listed()]


def _rows_there(host: str, token_file: Path | None, namespace: str | None) -> list[dict[str, Any]]:
    from paddlepress_pipelines.cli.cluster import connected
    from paddlepress_pipelines.kubeflow import schedules as there

    cluster = connected(host, token_file, namespace)
    return [
        _row(one.recipe, one.times(), one.enabled, UTC, kubeflow=one.cron, id=one.id) for one in there.listed(cluster)
    ]


def _row(recipe: str, cron: Cron | None, enabled: bool, zone: tzinfo | None, **more: str) -> dict[str, Any]:
    times = _next(cron, zone, 1) if cron is not None and enabled else []
    return {
        "recipe": recipe,
        "state": "active" if enabled else "paused",
        "cron": cron.text if cron is not None else None,
        "meaning": cron.meaning() if cron is not None else "somebody has changed it by hand",
        "next": times[0].isoformat(timespec="minutes") if times else None,
        **more,
    }
