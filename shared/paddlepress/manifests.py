"""What the manifests of model artifacts and of data sets have in common: a version, and files with checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from paddlepress.errors import UsageError
from paddlepress.files import sha256_of


class FileRecord(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int


class CheckedManifest(BaseModel):
    """A manifest that names every file of its directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, FileRecord]


M = TypeVar("M", bound=CheckedManifest)


def record(path: Path) -> FileRecord:
    """Size and checksum of a file."""
    return FileRecord(sha256=sha256_of(path), bytes=path.stat().st_size)


def read_checked(path: Path, model: type[M], newest: int, kind: str, error: type[UsageError]) -> M:
    """Read a manifest and check every file that it names.

    Args:
        path: the manifest; its files lie beside it.
        model: what it must hold.
        newest: the highest `format_version` that can be read.
        kind: what the directory is, such as `model artifact`, for messages.
        error: what is raised.

    Raises:
        error: there is no manifest, or something is damaged, missing or too new.
    """
    if not path.parent.exists():
        raise error(f"no {kind} at {path.parent}: it does not exist")
    if not path.is_file():
        raise error(f"no {kind} at {path.parent}: it has no {path.name}")
    manifest = _parse(path, model, newest, error)
    for name, stated in manifest.files.items():
        if Path(name).name != name:
            raise error(f"{path} names the file {name!r}, which is not inside the {kind}")
        _check(path.parent / name, stated, path.name, error)
    return manifest


def _parse(path: Path, model: type[M], newest: int, error: type[UsageError]) -> M:
    try:
        content: Any = json.loads(path.read_bytes())
    except ValueError as problem:
        raise error(f"{path} is damaged: it is not JSON ({problem})") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise error(f"{path} is damaged: it states no format_version")
    if version > newest:
        raise error(f"{path} has format version {version}; this paddlepress reads up to {newest}. Upgrade paddlepress")
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise error(f"{path} is damaged: {key}: {first['msg']}") from None


def _check(path: Path, stated: FileRecord, manifest: str, error: type[UsageError]) -> None:
    if not path.is_file():
        raise error(f"{path} is missing")
    size = path.stat().st_size
    if size != stated.bytes:
        raise error(f"{path} has {size} bytes, {manifest} says {stated.bytes}: truncated or replaced")
    if sha256_of(path) != stated.sha256:
        raise error(f"{path} does not match its checksum in {manifest}: damaged or tampered with")
