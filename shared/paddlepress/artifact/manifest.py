"""`model.json`: what a model artifact says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from paddlepress.artifact import foreign_formats
from paddlepress.artifact.codec import TensorRecord
from paddlepress.core.errors import ArtifactError, UsageError
from paddlepress.core.manifests import CheckedManifest, Sha256, read_checked, sealed
from paddlepress.network.edits import Edit
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import AnyPreprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import AnyTask

FORMAT_VERSION = 4
SEALED_SINCE = 4
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"


class Manifest(CheckedManifest):
    """What a model is, how it came to be, and which files hold it.

    Attributes:
        architecture, inputs, task, preprocessing, edits, lineage: of the model.
        digest: the model's.
        tensors: how each parameter and buffer is stored, by name.
        built: how many numbers the parameters of the architecture had before any edit; None: not stated.
    """

    kind: ClassVar[str] = "model artifact"
    error: ClassVar[type[UsageError]] = ArtifactError
    newest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = SEALED_SINCE

    format_version: int = FORMAT_VERSION
    architecture: ArchitectureRef
    inputs: tuple[TensorSpec, ...]
    task: AnyTask
    preprocessing: AnyPreprocessing | None = None
    edits: tuple[Edit, ...] = Field(default=(), max_length=20_000)
    lineage: tuple[LineageEntry, ...] = ()
    digest: Sha256
    tensors: dict[str, TensorRecord]
    built: int | None = Field(default=None, ge=0)

    @field_validator("preprocessing")
    @classmethod
    def _fits_the_inputs(cls, value: AnyPreprocessing | None, info: ValidationInfo) -> AnyPreprocessing | None:
        inputs = info.data.get("inputs")
        misfit = value.misfit(inputs) if value is not None and inputs else ""
        if misfit:
            raise ValueError(misfit)
        return value


def content_of(manifest: Manifest) -> dict[str, Any]:
    """What `model.json` says, sealed."""
    content = manifest.model_dump(mode="json", exclude_defaults=True)
    content["format_version"] = FORMAT_VERSION
    for edit, written in zip(manifest.edits, content.get("edits", ()), strict=False):
        written["kind"] = edit.kind  # a default too, but what tells the kinds apart
    return sealed(content)


def write(manifest: Manifest, directory: Path) -> None:
    """Write `model.json`."""
    (directory / MANIFEST).write_text(json.dumps(content_of(manifest), allow_nan=False), encoding="utf-8")


def read(directory: Path) -> Manifest:
    """Read `model.json` and check every file it names.

    Raises:
        ArtifactError: the directory is no artifact, or something in it is damaged, missing or too new.
    """
    foreign_formats.refuse(directory, MANIFEST)
    return read_checked(directory / MANIFEST, Manifest)
