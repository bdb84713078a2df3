"""The file or folder that a source reads, brought here and checked."""

from __future__ import annotations

from pathlib import Path

from paddlepress.core.errors import DataError
from paddlepress.core.files import sha256_of
from paddlepress.core.progress import Progress
from paddlepress.core.storage import fetch, is_s3
from paddlepress.data.config import DataConfig


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
