"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

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
Host = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--host",
        envvar="KF_PIPELINES_ENDPOINT",
        help="A Kubeflow Pipelines server, such as https://kubeflow.example.org/pipeline.",
        metavar="URL",
    ),
]
HostOrLocal = Annotated[
    str,
    typer.Option(
        "--host",
        envvar="KF_PIPELINES_ENDPOINT",
        help="A Kubeflow Pipelines server, or local: this machine.",
        metavar="URL",
        show_default=True,
    ),
]
LOCAL = "local"
TokenFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--token-file",
        envvar="KF_PIPELINES_SA_TOKEN_PATH",
        help="A file with the server's token. Default: the variable PADDLEPRESS_TOKEN.",
        metavar="FILE",
    ),
]
Namespace = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--namespace", help="Yours, on a server that several users share.", metavar="NAME"),
]
RegisteredModel = Annotated[
    str,
    typer.Argument(
        help="NAME[@VERSION or @ALIAS] of a registered model, the champion where nothing is said.", metavar="NAME"
    ),
]
Place = Annotated[
    str, typer.Option("--to", help="Where versions are published: s3://bucket/prefix, or a folder.", metavar="PLACE")
]
SigningKeyFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--key",
        envvar="PADDLEPRESS_SIGNING_KEY",
        help="The private key that signs.",
        metavar="FILE",
        show_default=False,
    ),
]
TrustedKeys = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--trust", help="A public key whose signatures on what is there already are taken too.", metavar="FILE.pub"
    ),
]
