"""`doctor`: what is wrong with what earlier runs left, and putting it right."""

from __future__ import annotations

from typing import Annotated

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, Home

app = typer.Typer()


@app.command()
def doctor(
    registry: Annotated[
        str, typer.Option("--registry", metavar="NAME", help="Look through what is registered under this name.")
    ],
    repair: Annotated[bool, typer.Option("--repair", help="Put right what can be.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Tell what is missing or damaged: runs, files and tags that somebody changed by hand."""
    from paddlepress.core.errors import RegistryError
    from paddlepress.registry.integrity import audit
    from paddlepress_pipelines.cli.output import console
    from paddlepress_pipelines.open_registry import opened

    with opened(home) as client:
        faults = audit(client, registry, repair=repair)
    screen = console()
    for fault in faults:
        mark = "repaired" if fault.repaired else "missing"
        screen.print(f"{mark}  {fault.text}", highlight=False, markup=False, soft_wrap=True)
    left = [fault for fault in faults if not fault.repaired]
    if not left:
        screen.print(f"{registry} is in order", highlight=False, markup=False)
        return
    last = f"{len(left)} thing{'s are' if len(left) > 1 else ' is'} wrong with {registry}"
    tried = "" if repair else "--repair mends what needs no files; "
    raise RegistryError(f"{last}: {tried}running the recipe again registers from the cache what it makes")
