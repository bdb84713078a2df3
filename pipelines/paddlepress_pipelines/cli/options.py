"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="PADDLEPRESS_HOME",
        help="Where the registry, artifacts, cache and runs live.",
        show_default=True,
    ),
]
DEFAULT_HOME = Path(".paddlepress")
RecipePath = Annotated[
    Path, typer.Argument(help="A recipe's YAML file, or the name of one that ships.", metavar="RECIPE")
]
ModelName = Annotated[str, typer.Argument(help="A registered model: the name of its recipe.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table for people.")]
