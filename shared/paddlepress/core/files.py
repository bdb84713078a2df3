"""Files that are either complete or not there, and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paddlepress.core.errors import DiskFull, UsageError


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it takes the place of `path`, else it goes away.

    The body may make a file or a directory at the temporary name. What the body raises goes through. After a
    power cut too, either what was there is at `path` or the whole of what was made.

    Raises:
        DiskFull: there is no room for it.
        UsageError: nothing can be put at `path`; what was there still is.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        assert temporary.exists(), f"nothing was made to take the place of {path}"
        with writing(path):
            sync(temporary)
            _replace(path, temporary, holder / f"{path.name}.replaced")
            sync_one(path.parent)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        DiskFull: there is no room for it.
        UsageError: it can't be written.
    """
    with replacing(path) as temporary, writing(path):
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Have a file, or a directory with all that is in it, reach the disk.

    Raises:
        OSError: it can't be written there.
    """
    for inner in path.rglob("*") if path.is_dir() else ():
        if not inner.is_symlink():
            sync_one(inner)
    sync_one(path)


def sync_one(path: Path) -> None:
    """Have a file, or a directory's own entries, reach the disk.

    Raises:
        OSError: it can't be written there.
    """
    if not (path.is_file() or path.is_dir()):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems know no such thing for a directory.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _replace(path: Path, new: Path, old: Path) -> None:
    if not (path.is_dir() and new.is_dir()):
        new.replace(path)
        return
    # A directory can't be renamed over a full one, so that the old one makes room first.
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have the file system's refusal say which path could not be written."""
    try:
        yield
    except OSError as error:
        raise disk_full(error, path) or UsageError(f"can't write {path}: {error.strerror or error}") from None


def disk_full(error: BaseException, *places: Path) -> DiskFull | None:
    """What to tell where an error came of a full disk, else None.

    Args:
        error: whatever was raised; what it came from counts too.
        places: what was being written; where the error names nothing, the one with the least room.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            named = link.filename if isinstance(link.filename, str) else None
            return no_room(*([Path(named)] if named else places))
        if says_disk_full(str(link)):
            return no_room(*places)
        link = link.__cause__ or link.__context__
    return None


def says_disk_full(text: str) -> bool:
    """Whether a message, of the system's or of SQLite's, speaks of a full disk."""
    return any(words in text for words in ("No space left on device", "Disk quota exceeded", "disk is full"))


def no_room(*places: Path) -> DiskFull:
    """The error that names the file system with the least room of those on which places are."""
    disks = {_disk_of(place.absolute()) for place in places} or {Path.cwd()}
    fullest = min(disks, key=lambda disk: shutil.disk_usage(disk).free)
    return DiskFull(
        f"no room is left on the disk at {fullest}. What is finished is kept: make room, and go on from there"
    )


def _disk_of(place: Path) -> Path:
    """Where the file system of a place, which need not exist, is mounted."""
    return next(folder for folder in (place, *place.parents) if os.path.ismount(folder) or folder == folder.parent)
