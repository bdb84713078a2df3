"""`export`: one ONNX file of a registered model, or of one in a folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from paddlepress_pipelines.cli.options import DEFAULT_HOME, Home

app = typer.Typer()

CHAMPION = "champion"


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="NAME[@VERSION or @ALIAS] of a registered model, the champion where nothing is said; or "
            "RECIPE/VARIANT, or the folder of a model artifact or deployable (./FOLDER).",
            metavar="MODEL",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder to make, for model.onnx.", metavar="FOLDER")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a model as one ONNX file with its weights and preprocessing inside, for any ONNX runtime."""
    from paddlepress.core.errors import UsageError
    from paddlepress.deployment import single_onnx_file

    if output.exists():
        raise UsageError(f"{output} exists already; name a folder that does not")
    with TemporaryDirectory(prefix="paddlepress-") as scratch:
        deployable, facts = (_of_folder if "/" in model else _registered)(model, home, Path(scratch))
        path = single_onnx_file.write(deployable, output, facts)
    print(f"Wrote {path} ({path.stat().st_size:,} bytes)")


def _registered(model: str, home: Path, scratch: Path) -> tuple[Path, dict[str, str]]:
    """The deployable of a registered version, and what the registry knows of it."""
    from paddlepress.registry.fetching import fetch_deployable, version_of
    from paddlepress_pipelines.open_registry import opened

    name, _, reference = model.partition("@")
    with opened(home) as client:
        row = version_of(client, name, reference or CHAMPION)
        facts = {"name": name, "version": str(row.version), "variant": row.variant}
        return fetch_deployable(client, name, row.version, scratch), facts


def _of_folder(model: str, home: Path, scratch: Path) -> tuple[Path, dict[str, str]]:
    """The deployable of a model in a folder or made by a run."""
    from paddlepress.core import compute

    compute.prepare()
    from paddlepress.artifact import store
    from paddlepress.core.storage import fetch, is_s3
    from paddlepress.deployment import bundle
    from paddlepress.deployment.export import export as deploy
    from paddlepress_pipelines.local import record

    location = f"{model}/" if is_s3(model) and not model.endswith("/") else model
    folder = fetch(location, scratch / "model")
    if not folder.exists() and not folder.is_absolute():
        folder = record.model_of(home, model)
    facts = {"name": folder.resolve().name if folder.exists() else model}
    if bundle.is_deployable(folder):
        return folder, facts
    deploy(store.load(folder), folder, scratch / "deployable")
    return scratch / "deployable", facts
