"""`publish`, `pull` and `manifest`: a registered version in production, and from there on other machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from paddlepress_pipelines.cli.options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Place,
    RegisteredModel,
    SigningKeyFile,
    TrustedKeys,
)

if TYPE_CHECKING:
    from paddlepress.publishing.keys import SigningKey
    from paddlepress.publishing.publisher import Outcome

app = typer.Typer()

CHAMPION = "champion"


@app.command()
def publish(
    model: RegisteredModel,
    to: Place,
    key: SigningKeyFile = None,
    trust: TrustedKeys = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Publish the champion: files and signature once and for all, then the pointer that production follows."""
    from paddlepress.publishing import publisher
    from paddlepress.publishing.keys import load_public_key
    from paddlepress.publishing.places import open_store
    from paddlepress.registry.fetching import version_of
    from paddlepress_pipelines.cli.progress import CommandProgress
    from paddlepress_pipelines.open_registry import opened

    signing, trusted, store = _signing(key), [load_public_key(path) for path in trust or ()], open_store(to)
    name, _, reference = model.partition("@")
    with opened(home) as client:
        row = version_of(client, name, reference or CHAMPION)
        outcome = publisher.publish(client, name, row, store, signing, trusted, CommandProgress())
    folder = store.at(f"{name}/{row.version}/")
    there = f"Uploaded {folder}" if outcome.uploaded else f"{folder} is published already, with the same model"
    if not as_json:
        print(there)
    _say(outcome, store.at(f"{name}/current.json"), as_json)


def roll_back_published(name: str, to: str, key: Path | None, trust: list[Path], as_json: bool) -> None:
    """What `rollback --to` does."""
    from paddlepress.publishing import publisher
    from paddlepress.publishing.keys import load_public_key
    from paddlepress.publishing.places import open_store
    from paddlepress_pipelines.cli.progress import CommandProgress

    signing, trusted, store = _signing(key), [load_public_key(path) for path in trust], open_store(to)
    outcome = publisher.roll_back(name, store, signing, trusted, CommandProgress())
    _say(outcome, store.at(f"{name}/current.json"), as_json)


@app.command()
def pull(
    location: Annotated[
        str,
        typer.Argument(
            help="PLACE/NAME/current or PLACE/NAME/VERSION; a place is s3://bucket/prefix or a folder.",
            metavar="LOCATION",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder to make, or one pulled into before.", metavar="FOLDER")
    ],
    key: Annotated[
        list[Path],
        typer.Option("--key", help="A public key whose signatures are taken; may be given several times."),
    ],
    at_least: Annotated[int, typer.Option("--at-least", min=1, help="The lowest version that is taken.")] = 1,
    allow_older: Annotated[
        bool,
        typer.Option("--allow-older", help="Take a lower version than the folder had, such as after a rollback."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what is published here, if its signature and every checksum are right."""
    from paddlepress.publishing import pulling
    from paddlepress.publishing.keys import load_public_key, short
    from paddlepress_pipelines.cli.progress import CommandProgress

    trusted = [load_public_key(path) for path in key]
    found = pulling.pull(location, output, trusted, at_least, allow_older, CommandProgress())
    if as_json:
        about = {"name": found.name, "version": found.version, "key_id": found.key_id, "sequence": found.sequence}
        print(json.dumps({**about, "downloaded": found.downloaded}, indent=1))
        return
    how = "is in" if found.downloaded else "was in"
    already = "" if found.downloaded else " already"
    signed = f"signed by the key {short(found.key_id)}"
    print(f"Version {found.version} of {found.name} {how} {output}{already}: {signed}, every checksum right")


@app.command()
def manifest(
    model: RegisteredModel,
    served_as: Annotated[
        str,
        typer.Option("--format", help="onnx: what is published, by Triton; mlflow: what is registered, by MLServer."),
    ] = "onnx",
    place: Annotated[
        str, typer.Option("--from", help="Where it is published, of several places.", metavar="PLACE")
    ] = "",
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Write the YAML here.", metavar="FILE"),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print a KServe InferenceService that serves the champion."""
    from typing import get_args

    from paddlepress.core import files
    from paddlepress.core.errors import UnknownName
    from paddlepress.publishing.inference_service import ServingFormat, inference_service
    from paddlepress.registry.fetching import version_of
    from paddlepress_pipelines.open_registry import opened

    chosen: ServingFormat | None = next((each for each in get_args(ServingFormat) if each == served_as), None)
    if chosen is None:
        raise UnknownName("format", served_as, get_args(ServingFormat), "--format")
    name, _, reference = model.partition("@")
    with opened(home) as client:
        row = version_of(client, name, reference or CHAMPION)
        text = inference_service(client, name, row, chosen, place)
    if output is None:
        print(text, end="")
    else:
        files.write_text(output, text)
        print(f"Wrote {output}")


def _signing(path: Path | None) -> SigningKey:
    from paddlepress.core.errors import UsageError
    from paddlepress.publishing.keys import load_signing_key

    if path is None:
        raise UsageError(
            "there is no key to sign with: give --key FILE or PADDLEPRESS_SIGNING_KEY. `paddlepress keys new FILE` "
            "makes one"
        )
    return load_signing_key(path)


def _say(outcome: Outcome, at: str, as_json: bool) -> None:
    from paddlepress.publishing.keys import short

    now = outcome.pointer
    if as_json:
        said = {**now.model_dump(mode="json"), "uploaded": outcome.uploaded, "moved": outcome.moved}
        print(json.dumps({**said, "key_id": outcome.key_id}, indent=1))
        return
    state = "is current now" if outcome.moved else f"was made current already by {now.publisher}"
    print(f"Version {now.version} of {now.name} {state}: {at}, number {now.sequence}, key {short(outcome.key_id)}")
