"""`keys`: what published versions are signed and checked with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make and show the keys that published versions are signed with.")


@app.command()
def new(
    path: Annotated[
        Path, typer.Argument(help="The file of the private key; FILE.pub is the public one.", metavar="FILE")
    ],
) -> None:
    """Make a key (ECDSA P-256), encrypted if PADDLEPRESS_SIGNING_PASSPHRASE is set."""
    from paddlepress.publishing import keys

    public = keys.create(path)
    encrypted = f"encrypted with {keys.PASSPHRASE}" if keys.passphrase() is not None else "not encrypted"
    print(f"Wrote {path} (private, {encrypted}: keep it to yourself)")
    print(f"Wrote {keys.public_path(path)} (public, for whoever pulls)")
    print(f"Key {public.id}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A public key.", metavar="FILE.pub")],
) -> None:
    """Print the id of a key, which signatures name: the SHA-256 of its public half."""
    from paddlepress.publishing import keys

    print(keys.load_public_key(path).id)
