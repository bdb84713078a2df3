"""What manifests of artifacts have in common: a version, files with checksums, and a seal over all that they say."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddlepress.core import json_text
from paddlepress.core.errors import UsageError, in_one_line
from paddlepress.core.files import sha256_of

SEAL = "seal"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileRecord(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    bytes: int = Field(ge=0, lt=2**63)


class CheckedManifest(BaseModel):
    """A manifest that names every file of its directory.

    Attributes:
        kind: what the directory is, for messages.
        error: what is raised when something is wrong with it.
        newest, oldest: the highest and the lowest `format_version` that can be read.
        sealed_since: the first that has a seal.
        files: by name.
        seal: SHA-256 of everything else that the manifest says, see `seal_of`; empty in manifests of former versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    error: ClassVar[type[UsageError]]
    newest: ClassVar[int]
    oldest: ClassVar[int] = 1
    sealed_since: ClassVar[int]

    files: dict[str, FileRecord]
    seal: str = ""


M = TypeVar("M", bound=CheckedManifest)


def record(path: Path) -> FileRecord:
    """Size and checksum of a file."""
    return FileRecord(sha256=sha256_of(path), bytes=path.stat().st_size)


def record_of(data: bytes) -> FileRecord:
    """Size and checksum of bytes."""
    return FileRecord(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 over a manifest's JSON content but for its seal: whatever it says, a changed bit is noticed."""
    said = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's JSON content with its seal."""
    return {**content, SEAL: seal_of(content)}


def read_checked(path: Path, model: type[M]) -> M:
    """Read a manifest and check every file that it names.

    Args:
        path: the manifest; its files lie beside it.
        model: what it must hold.

    Raises:
        UsageError: `model.error`: there is no manifest, or something is damaged, missing or too new.
    """
    manifest = parse(read_bytes(path, model), path, model)
    check_files(path, manifest)
    return manifest


def read_bytes(path: Path, model: type[CheckedManifest]) -> bytes:
    """The bytes of a manifest; of one that is larger than any can be the first ones only.

    Raises:
        UsageError: `model.error`: there is none.
    """
    if not path.parent.exists():
        raise model.error(f"no {model.kind} at {path.parent}: it does not exist")
    if not path.is_file():
        raise model.error(f"no {model.kind} at {path.parent}: it has no {path.name}")
    try:
        with path.open("rb") as stream:
            return stream.read(json_text.LARGEST + 1)
    except OSError as problem:
        raise model.error(f"{path} can't be read: {problem.strerror or problem}") from None


def parse(data: bytes, path: Path, model: type[M]) -> M:
    """A manifest from its text; nothing is said of the files that it names.

    Args:
        data: the text.
        path: where it stands, for messages.
        model: what it must hold.

    Raises:
        UsageError: `model.error`: it is damaged or too new.
    """
    try:
        content = json_text.parse(data)
    except ValueError as problem:
        raise model.error(f"{path} is damaged: it is not JSON ({in_one_line(problem)})") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise model.error(f"{path} is damaged: it states no format_version")
    if version > model.newest:
        raise model.error(
            f"{path} has format version {in_one_line(version, 20)}; this paddlepress reads up to {model.newest}. "
            "Upgrade paddlepress"
        )
    if version < model.oldest:
        raise model.error(
            f"{path} has format version {in_one_line(version, 20)}, of a former paddlepress; this one reads from "
            f"{model.oldest} on. Make the {model.kind} again"
        )
    if (version >= model.sealed_since or SEAL in content) and content.get(SEAL) != seal_of(content):
        raise model.error(f"{path} does not match its own seal: damaged or tampered with")
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        # What our own checks refuse although the seal fits is whole: a plugin that it speaks of may not be installed.
        whole = first["type"] == "value_error" and version >= model.sealed_since
        state, reason = "can't be read" if whole else "is damaged", first["msg"].removeprefix("Value error, ")
        raise model.error(f"{path} {state}: {in_one_line(key, 100)}: {in_one_line(reason)}") from None


def check_files(path: Path, manifest: CheckedManifest) -> None:
    """Check every file that a manifest names.

    Args:
        path: the manifest; its files lie beside it.
        manifest: what it says.

    Raises:
        UsageError: `manifest.error`: one is missing, damaged, or not beside the manifest.
    """
    for name, stated in manifest.files.items():
        if not _FILE_NAME.fullmatch(name):
            raise manifest.error(
                f"{path} names the file {in_one_line(repr(name), 100)}, which is not inside the {manifest.kind}"
            )
        _check(path.parent / name, stated, path.name, manifest.error)


def _check(path: Path, stated: FileRecord, manifest: str, error: type[UsageError]) -> None:
    if not path.is_file():
        raise error(f"{path} is missing")
    size = path.stat().st_size
    if size != stated.bytes:
        raise error(f"{path} has {size} bytes, {manifest} says {stated.bytes}: truncated or replaced")
    try:
        digest = sha256_of(path)
    except OSError as problem:
        raise error(f"{path} can't be read: {problem.strerror or problem}") from None
    if digest != stated.sha256:
        raise error(f"{path} does not match its checksum in {manifest}: damaged or tampered with")
