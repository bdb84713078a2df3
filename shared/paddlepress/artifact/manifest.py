"""`model.json`: what a model artifact says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from paddlepress.artifact.codec import TensorRecord
from paddlepress.errors import ArtifactError
from paddlepress.files import sha256_of
from paddlepress.model import ArchitectureRef, InputSpec, LineageEntry, Task
from paddlepress.surgery.edits import Edit

FORMAT_VERSION = 1
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"


class FileRecord(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What a model is, how it came to be, and which files hold it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    architecture: ArchitectureRef
    inputs: tuple[InputSpec, ...]
    task: Task
    edits: tuple[Edit, ...] = ()
    lineage: tuple[LineageEntry, ...] = ()
    digest: str
    tensors: dict[str, TensorRecord]
    files: dict[str, FileRecord]


def record(path: Path) -> FileRecord:
    """Size and checksum of a file."""
    return FileRecord(sha256=sha256_of(path), bytes=path.stat().st_size)


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
    path = directory / MANIFEST
    if not directory.exists():
        raise ArtifactError(f"no model artifact at {directory}: it does not exist")
    if not path.is_file():
        raise ArtifactError(f"no model artifact at {directory}: it has no {MANIFEST}")
    manifest = _parse(path)
    for name, expected in manifest.files.items():
        _check(directory, name, expected)
    return manifest


def _parse(path: Path) -> Manifest:
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is damaged: it is not JSON ({error})") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise ArtifactError(f"{path} is damaged: it states no format_version")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {version}; this paddlepress reads up to {FORMAT_VERSION}. Upgrade paddlepress"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path} is damaged: {key}: {first['msg']}") from None


def _check(directory: Path, name: str, expected: FileRecord) -> None:
    path = directory / name
    if Path(name).name != name:
        raise ArtifactError(f"{directory / MANIFEST} names the file {name!r}, which is not inside the artifact")
    if not path.is_file():
        raise ArtifactError(f"{path} is missing")
    size = path.stat().st_size
    if size != expected.bytes:
        raise ArtifactError(f"{path} has {size} bytes, {MANIFEST} says {expected.bytes}: truncated or replaced")
    if sha256_of(path) != expected.sha256:
        raise ArtifactError(f"{path} does not match its checksum in {MANIFEST}: damaged or tampered with")
