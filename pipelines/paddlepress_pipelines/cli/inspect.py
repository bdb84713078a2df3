"""`techniques`, `sources`, `tasks`, `architectures` and `show`: what there is, and what a model is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, AsJson, Home
from paddlepress_pipelines.cli.output import console

app = typer.Typer()


@app.command()
def techniques(
    name: Annotated[Optional[str], typer.Argument(help="Show this technique's fields.", metavar="NAME")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """List the techniques, or show the fields of one."""
    from paddlepress.core import plugins
    from paddlepress.core.plugins import summary_of
    from paddlepress.techniques import technique_class

    if name is None:
        _list(plugins.TECHNIQUES, technique_class, as_json, family=lambda found: found.family)
        return
    chosen = technique_class(name)
    said = {"family": str(chosen.family), "summary": summary_of(chosen), "paper": chosen.paper}
    _show_fields(name, chosen, said, as_json)
    if chosen.paper and not as_json:
        console().print(f"\nSource: {chosen.paper}", highlight=False, markup=False)


@app.command()
def sources(
    name: Annotated[Optional[str], typer.Argument(help="Show this source's fields.", metavar="NAME")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """List the sources that data come from, or show the fields of one."""
    from paddlepress.core import plugins
    from paddlepress.core.plugins import summary_of
    from paddlepress.data.source import source_class

    if name is None:
        _list(plugins.SOURCES, source_class, as_json)
    else:
        chosen = source_class(name)
        _show_fields(name, chosen, {"summary": summary_of(chosen)}, as_json)


@app.command()
def tasks(
    name: Annotated[Optional[str], typer.Argument(help="Show this task's fields.", metavar="NAME")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """List the tasks that networks are for, with what says how good one is, or show the fields of one."""
    from paddlepress.core import plugins
    from paddlepress.core.plugins import summary_of
    from paddlepress.tasks.base import task_class

    if name is None:
        _list(plugins.TASKS, task_class, as_json, metric=lambda found: found.primary)
    else:
        chosen = task_class(name)
        _show_fields(name, chosen, {"metric": str(chosen.primary), "summary": summary_of(chosen)}, as_json)


def _list(group: str, load: Callable[[str], Any], as_json: bool, **columns: Callable[[Any], str]) -> None:
    """List the plugins of a group, each with what the columns say of it and what it does."""
    from paddlepress.core import plugins
    from paddlepress.core.errors import UsageError

    rows = []
    for key, entry in plugins.listed(group).items():
        try:
            found = load(key)
            said = {name: str(about(found)) for name, about in columns.items()}
            said["what it does"] = plugins.summary_of(found)
        except UsageError as error:  # one that is broken hides no other
            said = {**dict.fromkeys(columns, ""), "what it does": str(error)}
        package = {"package": entry.dist.name, "version": entry.dist.version} if entry.dist else {}
        rows.append({"name": key, **said, "package": "", "version": "", **package})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    # Where all come in one package, it need not be said of each.
    plugged = len({row["package"] for row in rows}) > 1
    _print_table("", ["name", *columns, "what it does", *(["package", "version"] if plugged else [])], rows)


def _show_fields(name: str, chosen: Any, said: dict[str, str], as_json: bool) -> None:
    """A plugin's fields with defaults, ranges and descriptions, below what is said of it."""
    from paddlepress.core.fields import describe_fields

    fields = describe_fields(chosen)
    if as_json:
        print(json.dumps({"name": name, **said, "fields": fields}, indent=2))
        return
    from rich.text import Text

    beside = "".join(f"  {said[key]}" for key in ("family", "metric") if key in said)
    console().print(Text.assemble((name, "bold"), f"{beside}\n\n{said['summary']}\n"))
    rows = [
        {
            "field": row["field"],
            "default": row["default"],
            "valid": ", ".join(filter(None, (row["type"], row["range"]))),
            "description": row["description"],
        }
        for row in fields
    ]
    _print_table("", ["field", "default", "valid", "description"], rows)


@app.command()
def architectures(
    name: Annotated[Optional[str], typer.Argument(help="Show this architecture's arguments.", metavar="NAME")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """List the architectures that a recipe can name, or show the arguments of one."""
    from paddlepress.core import compute
    from paddlepress.network.architectures import description, names

    compute.prepare()
    if name is not None:
        summary, rows = description.summary(name), description.arguments(name)
        if as_json:
            print(json.dumps({"name": name, "summary": summary, "arguments": rows}, indent=2))
            return
        from rich.text import Text

        console().print(Text.assemble((name, "bold"), f"\n\n{summary}\n"))
        if rows:
            _print_table("", list(rows[0]), rows)
        else:
            print("It takes no arguments.")
        return
    found = names()
    print(json.dumps(found, indent=2) if as_json else "\n".join(found))


@app.command()
def show(
    model: Annotated[
        str,
        typer.Argument(
            help="RECIPE/VARIANT, the newest that runs made (the base model is the variant `base`); or a model "
            "artifact's folder or s3:// prefix.",
            metavar="MODEL",
        ),
    ],
    graph: Annotated[bool, typer.Option("--graph", help="Print the groups of channels that change together.")] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show what a model is: its history, and per layer its shape, sparsity, bits and bytes."""
    from tempfile import TemporaryDirectory

    from paddlepress.core.storage import fetch, is_s3
    from paddlepress_pipelines.local import record

    # An artifact is always a folder, which in S3 ends in a slash.
    location = f"{model}/" if is_s3(model) and not model.endswith("/") else model
    with TemporaryDirectory() as scratch:
        folder = fetch(location, Path(scratch) / "model")
        if not folder.exists() and not folder.is_absolute():
            folder = record.model_of(home, model)
        if graph:
            _show_graph(folder)
        else:
            _show_layers(folder, as_json)


def _show_graph(folder: Path) -> None:
    from paddlepress.core import compute

    compute.prepare()
    from paddlepress.artifact import store
    from paddlepress.surgery.graph import describe, trace

    print(describe(trace(store.load(folder))))


def _show_layers(folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from paddlepress.evaluation import size

    manifest = size.read_manifest(folder)
    rows = [asdict(row) for row in size.layers(folder)]
    if as_json:
        print(json.dumps({"manifest": manifest.model_dump(mode="json"), "layers": rows}, indent=2))
        return
    from rich.text import Text

    screen = console()
    architecture = manifest.architecture
    arguments = f" {dict(architecture.arguments)}" if architecture.arguments else ""
    about = f"{arguments}  {manifest.task.describe()}"
    screen.print(Text.assemble((architecture.name, "bold"), about))
    takes = manifest.preprocessing.text() if manifest.preprocessing else "not stated: inputs as the network takes them"
    screen.print(Text.assemble("  preprocessing ", (takes, "dim")))
    for entry in manifest.lineage:
        screen.print(Text.assemble(f"  {entry.technique} ", (_parameters(entry.parameters), "dim")))
    _print_table("", list(rows[0]) if rows else [], rows)
    total = size.disk_bytes(folder)
    screen.print(f"{total:,} bytes on disk, digest {manifest.digest[:16]}", highlight=False)


def _parameters(values: dict[str, Any]) -> str:
    shown = {name: value for name, value in values.items() if value not in (None, [], {}, "")}
    return ", ".join(f"{name}={value[:12] if name.endswith('digest') else value}" for name, value in shown.items())


def _print_table(title: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        numeric = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        whole = column in {"field", "layer", "name", "argument"}
        table.add_column(column, justify="right" if numeric else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return "x".join(str(item) for item in value)
    return str(value) if value is not None else ""
