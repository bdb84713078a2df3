"""Where data sets come from: one module a source, each with `read(config, into, progress) -> Raw`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.errors import DataError
from paddlepress.core.fields import expanded
from paddlepress.core.files import sha256_of
from paddlepress.core.progress import Progress
from paddlepress.core.storage import fetch, is_s3
from paddlepress.data.config import DataConfig

if TYPE_CHECKING:
    from paddlepress.data.raw import Raw


def read(config: DataConfig, into: Path, progress: Progress) -> Raw:
    """Read a data set from its source.

    Args:
        config: names the source, and its path.
        into: a directory for what is downloaded; it may be thrown away afterwards.
        progress: is told of downloads.

    Raises:
        DataError: the data can't be found, read, or trusted.
    """
    module = import_module(f"{__name__}.{config.source}")
    raw: Raw = module.read(config, into, progress)
    return raw


def shape_of(config: DataConfig) -> tuple[int, ...] | None:
    """The shape of one example, as far as it can be told without reading or fetching a data set; else None."""
    if config.source == "digits":
        return (1, 8, 8)
    if config.source == "mnist":
        return (1, 28, 28)
    if config.source == "npz" and not is_s3(config.path):
        from paddlepress.data.sources import npz

        return npz.shape_of(expanded(config.path))
    return None


def local_path(config: DataConfig, into: Path, progress: Progress) -> Path:
    """The local file or folder that `config.path` names, downloaded if need be, its digest checked.

    Raises:
        DataError: there is none, or its digest is not `config.sha256`.
    """
    if is_s3(config.path):
        progress.note(f"fetching {config.path}")
    path = fetch(config.path, into)
    if not path.exists():
        raise DataError(f"no data at {config.path}: it does not exist")
    if config.sha256:
        check_digest(path, config.sha256, "'sha256'")
    return path


def check_digest(path: Path, expected: str, stated_by: str) -> None:
    """Check a file's SHA-256.

    Raises:
        DataError: it is no file, or has another digest.
    """
    if not path.is_file():
        raise DataError(f"{path} is a folder, but {stated_by} is the digest of one file")
    actual = sha256_of(path)
    if actual != expected:
        raise DataError(f"{path} has SHA-256 {actual}, {stated_by} says {expected}: damaged or another file")
