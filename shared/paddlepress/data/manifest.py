"""`data.json`: what a data-set artifact says of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from paddlepress.core.errors import DataError, UsageError, in_one_line
from paddlepress.core.manifests import CheckedManifest, Sha256, read_checked, sealed
from paddlepress.core.manifests import record as record  # part of this module's interface
from paddlepress.spec.preprocessing import AnyPreprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import AnyTask

FORMAT_VERSION = 4
SEALED_SINCE = 2
MANIFEST = "data.json"


class SplitRecord(BaseModel):
    """One split: how many examples, the files that hold its inputs, by name, and the file that holds its targets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(ge=1, lt=2**40)
    inputs: dict[str, str] = Field(min_length=1)
    targets: str

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.inputs.values(), self.targets)


class DataManifest(CheckedManifest):
    """What a data set is, the statistics of its inputs, and which files hold it.

    Attributes:
        name: where it came from, such as `mnist`.
        inputs: what a network must take.
        task: what the targets mean.
        targets: the form of the targets as they are stored.
        statistics: the preprocessing that brings the training inputs to mean 0 and deviation 1, with the dtypes of
            what is stored.
        splits: by name.
        files: by name.
        digest: SHA-256 over everything that a reader gets: task, statistics and examples.
    """

    kind: ClassVar[str] = "data set"
    error: ClassVar[type[UsageError]] = DataError
    newest: ClassVar[int] = FORMAT_VERSION
    oldest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = SEALED_SINCE

    format_version: int = FORMAT_VERSION
    name: str
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    task: AnyTask
    targets: TensorSpec
    statistics: AnyPreprocessing
    splits: dict[str, SplitRecord]
    digest: Sha256


def digest_of(manifest: DataManifest) -> str:
    """SHA-256 over a data set: what its manifest says of it, and the checksums of every split's inputs and targets."""
    said = manifest.model_dump(mode="json", include={"inputs", "targets", "task", "statistics"})
    said["splits"] = {
        name: [split.count, *(manifest.files[file].sha256 for file in split.files)]
        for name, split in manifest.splits.items()
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


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
        for file in stated.files:
            if file not in manifest.files:
                named, file = in_one_line(repr(split), 100), in_one_line(repr(file), 100)
                raise DataError(f"{path} is damaged: the split {named} is in {file}, which is not among its files")
    if digest_of(manifest) != manifest.digest:
        raise DataError(f"{path} does not match its digest: damaged or tampered with")
    return manifest
