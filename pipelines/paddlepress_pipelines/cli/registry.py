"""`compare`, `promote`, `rollback` and `history`: what is in the registry, and what is in production."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, AsJson, Home, ModelName, SigningKeyFile, TrustedKeys
from paddlepress_pipelines.open_registry import opened

if TYPE_CHECKING:
    from paddlepress.registry.promotion import Decision

app = typer.Typer()


@app.command()
def compare(
    name: ModelName,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Write the HTML report here.", metavar="FILE.html"),
    ] = None,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--csv", help="Write a table here, one line a variant.", metavar="FILE.csv"),
    ] = None,
) -> None:
    """Compare the variants of the recipe that was last run under a name."""
    from paddlepress.core import files
    from paddlepress.registry.policy import load_policy
    from paddlepress.report import comparison

    with opened(home) as client:
        policy = load_policy(client, name)
        report = comparison.compare(
            client,
            name,
            policy.gates,
            policy.objective,
            variants=list(policy.variants),
            champion_reason=_last_reason(client, name),
        )
    if output is not None:
        from paddlepress.report.render import render

        files.write_text(output, render(report))
    if csv is not None:
        files.write_text(csv, comparison.frame(report).to_csv(index=False))
    if as_json:
        print(json.dumps(comparison.flat_rows(report), indent=2))
        return
    from paddlepress.report.terminal import show
    from paddlepress_pipelines.cli.output import console

    screen = console()
    show(report, screen)
    if output is not None:
        screen.print(f"Report {output}", highlight=False, markup=False, soft_wrap=True)
    if csv is not None:
        screen.print(f"Table {csv}", highlight=False, markup=False, soft_wrap=True)


def _last_reason(client: Any, name: str) -> str:
    from paddlepress.registry import history as records

    entries = records.history(client, name)
    return entries[-1].reason if entries else "nothing has been promoted yet"


@app.command()
def promote(
    name: ModelName,
    variant: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--variant", help="Promote this variant, if it passes its gates."),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Promote the best variant that passes the gates of its recipe's last run."""
    from paddlepress.registry import promotion
    from paddlepress.registry.policy import load_policy

    with opened(home) as client:
        _say(promotion.promote(client, home, name, load_policy(client, name), variant), as_json)


@app.command()
def rollback(
    name: ModelName,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--to", help="Roll back what is published there, and leave the registry.", metavar="PLACE"),
    ] = None,
    key: SigningKeyFile = None,
    trust: TrustedKeys = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make the former champion the champion again; with --to, make the version published before current again."""
    if to is not None:
        from paddlepress_pipelines.cli.publish import roll_back_published

        roll_back_published(name, to, key, trust or [], as_json)
        return
    from paddlepress.registry import promotion

    with opened(home) as client:
        _say(promotion.rollback(client, home, name), as_json)


@app.command()
def history(name: ModelName, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Tell every decision about what is in production, and why, and what was published where."""
    from paddlepress.registry import history as records

    with opened(home) as client:
        entries = [entry.model_dump(mode="json", by_alias=True) for entry in records.history(client, name)]
        entries = sorted(
            [*entries, *_publications(client, name)], key=lambda entry: datetime.fromisoformat(entry["time"])
        )
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from paddlepress_pipelines.cli.output import console

    table = Table.grid(padding=(0, 2))
    for entry in entries:
        when = datetime.fromisoformat(entry["time"]).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(when, "dim"), Text(entry["action"], "bold"), Text(entry["reason"]))
    console().print(table)


def _publications(client: Any, name: str) -> list[dict[str, Any]]:
    """Where versions were last made current, in the form of decisions."""
    from paddlepress.registry import catalogue

    return [
        {
            "time": each.model_dump(mode="json")["time"],
            "action": "published",
            "variant": row.variant,
            "version": row.version,
            "reason": f"{row.variant} (version {row.version}) to {each.location} by {each.publisher}, "
            f"key {each.key_id[:12]}, number {each.sequence}",
            **each.model_dump(mode="json", exclude={"time"}),
        }
        for row in catalogue.versions(client, name)
        for each in row.published
    ]


def _say(decision: Decision, as_json: bool) -> None:
    if as_json:
        print(decision.json())
        return
    from paddlepress_pipelines.cli.output import console

    console().print(decision.reason, highlight=False, markup=False)
