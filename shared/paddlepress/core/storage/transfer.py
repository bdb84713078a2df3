"""Bring a file or folder here, and take one away, wherever its other end lies."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from paddlepress.core.errors import DataError
from paddlepress.core.fields import expanded
from paddlepress.core.files import disk_full, replacing

S3 = "s3://"


def is_s3(location: str) -> bool:
    """Whether a location names something in S3."""
    return location.startswith(S3)


def fetch(location: str, into: Path) -> Path:
    """The local path of a file or folder, downloaded first if it lies in S3.

    Args:
        location: a local path, which is returned as it is, present or not; or `s3://bucket/key` for one
            object; or `s3://bucket/prefix/`, with the slash at the end, for all objects below a prefix.
        into: the directory that a download is put in, under the last part of its name. What lies there
            under that name is replaced once the download is complete and checked.

    Raises:
        DataError: the location can't be understood, reached or read, holds nothing, or what arrived is
            not what was stored.
    """
    if not is_s3(location):
        return _local(location)
    from paddlepress.core.storage import s3

    return s3.download(s3.parse(location), into)


def push(path: Path, location: str) -> str:
    """Copy a file or a folder's files to a location, and return the location of what was written.

    Args:
        path: a file, or a directory: then every file below it is copied.
        location: a local path or an `s3://` location. A file goes to exactly this location, or below it
            under its own name if the location ends in a slash. A directory's files go below the location.

    Raises:
        DataError: there is nothing at `path`, or the location can't be understood, reached or written.
    """
    if not path.exists():
        raise DataError(f"nothing to copy to {location}: {path} does not exist")
    if is_s3(location):
        from paddlepress.core.storage import s3

        return s3.upload(path, location)
    target = _local(location)
    if path.is_file() and (location.endswith("/") or target.is_dir()):
        target = target / path.name
    try:
        with replacing(target) as temporary:
            if path.is_dir():
                shutil.copytree(path, temporary)
            else:
                shutil.copyfile(path, temporary)
    except OSError as error:
        raise disk_full(error, target) or DataError(f"can't write {target}: {error.strerror or error}") from None
    return str(target)


def _local(location: str) -> Path:
    if not location:
        raise DataError("a location is empty. Valid: a local path, or s3://bucket/key")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", location)
    if scheme:
        raise DataError(
            f"{location}: the scheme {scheme.group(1)!r} is not supported. Valid: a local path, or s3://bucket/key"
        )
    return expanded(location)
