"""`techniques`, `architectures` and `show`: what there is, and what a model is made of."""

from __future__ import annotations

import json
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
    from paddlepress.core.errors import UsageError
    from paddlepress.techniques import technique_class

    if name is not None:
        _one_technique(name, technique_class(name), as_json)
        return
    rows = []
    for key, entry in plugins.listed(plugins.TECHNIQUES).items():
        try:
            found = technique_class(key)
            about = {"family": str(found.family), "what it does": plugins.summary_of(found)}
        except UsageError as error:  # one that is broken hides no other
            about = {"family": "", "what it does": str(error)}
        rows.append(
            {
                "name": key,
                **about,
                "package": entry.dist.name if entry.dist else "",
                "version": entry.dist.version if entry.dist else "",
            }
        )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    # Where all come in one package, it need not be said of each.
    plugged = len({row["package"] for row in rows}) > 1
    _print_table("", ["name", "family", "what it does", *(["package", "version"] if plugged else [])], rows)


def _one_technique(name: str, chosen: Any, as_json: bool) -> None:
    from paddlepress.core.fields import describe_fields
    from paddlepress.core.plugins import summary_of

    fields, summary = describe_fields(chosen), summary_of(chosen)
    if as_json:
        content = {"name": name, "family": chosen.family, "summary": summary, "paper": chosen.paper, "fields": fields}
        print(json.dumps(content, indent=2))
        return
    from rich.text import Text

    screen = console()
    screen.print(Text.assemble((name, "bold"), f"  {chosen.family}\n\n{summary}\n"))
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
    if chosen.paper:
        screen.print(f"\nSource: {chosen.paper}", highlight=False, markup=False)


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
