"""`data.json`: what a data-set artifact says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from paddlepress.core.errors import DataError, UsageError, in_one_line
from paddlepress.core.manifests import CheckedManifest, Sha256, read_checked, sealed
from paddlepress.core.manifests import record as record  # part of this module's interface
from paddlepress.spec.signature import TensorSpec

FORMAT_VERSION = 2
SEALED_SINCE = 2
MANIFEST = "data.json"


class SplitRecord(BaseModel):
    """One split: how many examples, and the file that holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(ge=1, lt=2**40)
    file: str


class DataManifest(CheckedManifest):
    """What a data set is, the statistics of its inputs, and which files hold it.

    Attributes:
        name: where it came from, such as `mnist`.
        inputs: what a network must take.
        classes: the classes' names, label 0 first.
        scale: what stored inputs are divided by first: 255 for images, 1 for floats.
        mean: of the scaled training inputs, for each channel or feature.
        std: the same, the standard deviation.
        splits: by name.
        files: by name.
        digest: SHA-256 over everything that a reader gets: classes, statistics and examples.
    """

    kind: ClassVar[str] = "data set"
    error: ClassVar[type[UsageError]] = DataError
    newest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = SEALED_SINCE

    format_version: int = FORMAT_VERSION
    name: str
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    scale: float = Field(gt=0)
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)
    splits: dict[str, SplitRecord]
    digest: Sha256


def digest_of(manifest: DataManifest, splits: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]) -> str:
    """SHA-256 over a data set: what its manifest says of it, and every split's inputs and labels as stored."""
    said = manifest.model_dump(mode="json", include={"inputs", "classes", "scale", "mean", "std"})
    state = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(splits):
        for array in splits[name]:
            state.update(f"{name} {array.dtype.str} {list(array.shape)}".encode())
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def write(manifest: DataManifest, directory: Path) -> None:
    """Write `data.json`."""
    text = json.dumps(sealed(manifest.model_dump(mode="json")), indent=1, allow_nan=False)
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def read(directory: Path) -> DataManifest:
    """Read `data.json` and check every file it names.

    Raises:
        DataError: the directory is no data set, or something in it is damaged, missing or too new.
    """
    path = directory / MANIFEST
    manifest = read_checked(path, DataManifest)
    for split, stated in manifest.splits.items():
        if stated.file not in manifest.files:
            named, file = in_one_line(repr(split), 100), in_one_line(repr(stated.file), 100)
            raise DataError(f"{path} is damaged: the split {named} is in {file}, which is not among its files")
    return manifest
