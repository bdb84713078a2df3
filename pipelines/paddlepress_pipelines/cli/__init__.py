"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from paddlepress import __version__
from paddlepress.core.errors import PaddlepressError
from paddlepress.core.files import disk_full
from paddlepress_pipelines.cli import (
    doctor,
    export,
    import_model,
    inspect,
    keys,
    publish,
    registry,
    run,
    runs,
    schedule,
    submit,
)

app = typer.Typer(
    name="paddlepress",
    help="Compress PaddlePaddle models in pipelines, compare the variants, promote the best one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS = (
    run.app,
    submit.app,
    schedule.app,
    runs.app,
    import_model.app,
    registry.app,
    publish.app,
    doctor.app,
    export.app,
    inspect.app,
)
for group in _COMMANDS:
    app.registered_commands.extend(group.registered_commands)
app.add_typer(keys.app, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"paddlepress {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        Optional[bool], typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")  # noqa: UP045
    ] = None,
) -> None:
    """Compress PaddlePaddle models in pipelines, compare the variants, promote the best one."""


def main() -> None:
    """Run the command line; a paddlepress error is a line on standard error, or one a mistake, and an exit code."""
    try:
        app()
    except PaddlepressError as error:
        for mistake in error.mistakes:
            print(f"paddlepress: error: {mistake}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("paddlepress: interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # a disk that is full or read-only, a folder of somebody else's
        place = f"{error.filename}: " if error.filename else ""
        full = disk_full(error, Path.cwd())
        print(f"paddlepress: error: {full or f'{place}{error.strerror or error}'}", file=sys.stderr)
        sys.exit(1)
