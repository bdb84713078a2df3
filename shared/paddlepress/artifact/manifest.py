"""`model.json`: what a model artifact says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from paddlepress.artifact.codec import TensorRecord
from paddlepress.errors import ArtifactError
from paddlepress.manifests import CheckedManifest, read_checked
from paddlepress.model import ArchitectureRef, InputSpec, LineageEntry, Task
from paddlepress.preprocessing import Preprocessing
from paddlepress.surgery.edits import Edit

FORMAT_VERSION = 3
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"


class Manifest(CheckedManifest):
    """What a model is, how it came to be, and which files hold it."""

    format_version: int = FORMAT_VERSION
    architecture: ArchitectureRef
    inputs: tuple[InputSpec, ...]
    task: Task
    preprocessing: Preprocessing | None = None
    edits: tuple[Edit, ...] = ()
    lineage: tuple[LineageEntry, ...] = ()
    digest: str
    tensors: dict[str, TensorRecord]


def write(manifest: Manifest, directory: Path) -> None:
    """Write `model.json`."""
    content = manifest.model_dump(mode="json", exclude_defaults=True)
    content["format_version"] = FORMAT_VERSION
    for edit, written in zip(manifest.edits, content.get("edits", ()), strict=False):
        written["kind"] = edit.kind  # a default too, but what tells the kinds apart
    (directory / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def read(directory: Path) -> Manifest:
    """Read `model.json` and check every file it names.

    Raises:
        ArtifactError: the directory is no artifact, or something in it is damaged, missing or too new.
    """
    return read_checked(directory / MANIFEST, Manifest, FORMAT_VERSION, "model artifact", ArtifactError)
