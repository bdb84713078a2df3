"""The file or folder that a source reads, brought here and checked."""

from __future__ import annotations

from pathlib import Path

from paddlepress.core.errors import DataError
from paddlepress.core.files import sha256_of
from paddlepress.core.progress import Progress
from paddlepress.core.storage import fetch, is_s3


def local(place: str, into: Path, progress: Progress) -> Path:
    """The local file or folder that a place names, downloaded if need be.

    Raises:
        DataError: there is none.
    """
    if is_s3(place):
        progress.note(f"fetching {place}")
    path = fetch(place, into)
    if not path.exists():
        raise DataError(f"no data at {place}: it does not exist")
    return path


def check_digest(path: Path, expected: str, stated_by: str) -> None:
    """Check a file's SHA-256.

    Args:
        path: the file.
        expected: hexadecimal digits; empty accepts any.
        stated_by: what says so, for messages.

    Raises:
        DataError: it is no file, or has another digest.
    """
    if not expected:
        return
    if not path.is_file():
        raise DataError(f"{path} is a folder, but {stated_by} is the digest of one file")
    actual = sha256_of(path)
    if actual != expected.lower():
        raise DataError(f"{path} has SHA-256 {actual}, {stated_by} says {expected}: damaged or another file")
