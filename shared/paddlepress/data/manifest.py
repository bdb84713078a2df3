"""`data.json`: what a data-set artifact says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddlepress.errors import DataError
from paddlepress.files import sha256_of
from paddlepress.model import InputSpec

FORMAT_VERSION = 1
MANIFEST = "data.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitRecord(_Record):
    """One split: how many examples, and the file that holds them."""

    count: int = Field(ge=1)
    file: str


class DataFile(_Record):
    """One file of an artifact."""

    sha256: str
    bytes: int


class DataManifest(_Record):
    """What a data set is, how its inputs are normalized, and which files hold it.

    Attributes:
        name: where it came from, such as `mnist`.
        inputs: what a network must take.
        classes: the classes' names, label 0 first.
        scale: what stored inputs are divided by first: 255 for images, 1 for floats.
        mean: of the scaled training inputs, for each channel or feature.
        std: the same, the standard deviation.
        splits: by name.
        files: by name.
        digest: SHA-256 over everything that a reader gets: classes, normalization and examples.
    """

    format_version: int = FORMAT_VERSION
    name: str
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    scale: float = Field(gt=0)
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)
    splits: dict[str, SplitRecord]
    files: dict[str, DataFile]
    digest: str


def digest_of(manifest: DataManifest, splits: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]) -> str:
    """SHA-256 over a data set: what its manifest says of it, and every split's inputs and labels as stored."""
    said = manifest.model_dump(mode="json", include={"inputs", "classes", "scale", "mean", "std"})
    state = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(splits):
        for array in splits[name]:
            state.update(f"{name} {array.dtype.str} {list(array.shape)}".encode())
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def record(path: Path) -> DataFile:
    """Size and checksum of a file."""
    return DataFile(sha256=sha256_of(path), bytes=path.stat().st_size)


def write(manifest: DataManifest, directory: Path) -> None:
    """Write `data.json`."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1)
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def read(directory: Path) -> DataManifest:
    """Read `data.json` and check every file it names.

    Raises:
        DataError: the directory is no data set, or something in it is damaged, missing or too new.
    """
    path = directory / MANIFEST
    if not directory.exists():
        raise DataError(f"no data set at {directory}: it does not exist")
    if not path.is_file():
        raise DataError(f"no data set at {directory}: it has no {MANIFEST}")
    manifest = _parse(path)
    for name, expected in manifest.files.items():
        _check(directory, name, expected)
    for split, stated in manifest.splits.items():
        if stated.file not in manifest.files:
            raise DataError(
                f"{path} is damaged: the split {split!r} is in {stated.file!r}, which is not among its files"
            )
    return manifest


def _parse(path: Path) -> DataManifest:
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: it is not JSON ({error})") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise DataError(f"{path} is damaged: it states no format_version")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}; this paddlepress reads up to {FORMAT_VERSION}. Upgrade paddlepress"
        )
    try:
        return DataManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path} is damaged: {key}: {first['msg']}") from None


def _check(directory: Path, name: str, expected: DataFile) -> None:
    path = directory / name
    if Path(name).name != name:
        raise DataError(f"{directory / MANIFEST} names the file {name!r}, which is not inside the data set")
    if not path.is_file():
        raise DataError(f"{path} is missing")
    size = path.stat().st_size
    if size != expected.bytes:
        raise DataError(f"{path} has {size} bytes, {MANIFEST} says {expected.bytes}: truncated or replaced")
    if sha256_of(path) != expected.sha256:
        raise DataError(f"{path} does not match its checksum in {MANIFEST}: damaged or tampered with")
