"""Published versions in a folder of a file system that knows locks and renames."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paddlepress.core.errors import DataError, VerificationFailed
from paddlepress.core.files import disk_full, replacing, sha256_of, sync, sync_one
from paddlepress.core.progress import Progress
from paddlepress.publishing.stores import MOST_FILES, Stored, normalized

LOCK = ".lock"
INCOMING = ".incoming"
PATIENCE_S = 300.0

_CHUNK = 8 * 2**20  # bytes


class FolderStore:
    """A folder; writers take turns by a lock file in it, readers need none."""

    def __init__(self, location: str, patience_s: float = PATIENCE_S) -> None:
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", location)
        if not location or scheme:
            raise DataError(f"nothing can be published at {location!r}. Valid: s3://bucket/prefix, or a folder")
        self.location = normalized(location)
        self._root = Path(self.location)
        self._patience_s = patience_s
        if self._root.exists() and not self._root.is_dir():
            raise DataError(f"{location} is a file; what is published goes into a folder, or to s3://bucket/prefix")

    def at(self, key: str) -> str:
        return str(self._root / key)

    def read(self, key: str, limit: int) -> Stored | None:
        path = self._root / key
        with self._told(path):
            try:
                with path.open("rb") as stream:
                    data = stream.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
        if len(data) > limit:
            raise VerificationFailed(f"{path} is larger than the {limit:,} bytes that it may have")
        return Stored(data, hashlib.sha256(data).hexdigest())

    def files(self, prefix: str) -> dict[str, int]:
        folder = self._root / prefix
        found: dict[str, int] = {}
        with self._told(folder):
            for path in folder.rglob("*"):
                if path.is_symlink() or not path.is_dir():  # a link counts as a file, wherever it leads
                    found[path.relative_to(folder).as_posix()] = path.lstat().st_size
                if len(found) > MOST_FILES:
                    raise VerificationFailed(f"{folder} holds more than {MOST_FILES:,} files: no published version")
        return found

    def put_new(self, key: str, path: Path, progress: Progress) -> bool:
        target = self._root / key
        with self._alone(), self._told(target):
            if target.exists():
                return False
            incoming = self._root / INCOMING / target.name
            size = path.stat().st_size
            with path.open("rb") as source, incoming.open("wb") as sink:
                for _ in progress.track(range(max(1, -(-size // _CHUNK))), max(1, -(-size // _CHUNK)), key):
                    sink.write(source.read(_CHUNK))
            sync(incoming)
            incoming.chmod(0o444)  # nothing published is ever written again
            target.parent.mkdir(parents=True, exist_ok=True)
            incoming.rename(target)
            for folder in (target.parent, *target.parent.parents):
                sync_one(folder)
                if folder == self._root:
                    break
            return True

    def holds(self, key: str, path: Path) -> bool:
        stored = self._root / key
        with self._told(stored):
            return stored.is_file() and sha256_of(stored) == sha256_of(path)

    def replace(self, key: str, data: bytes, seen: str | None) -> bool:
        path = self._root / key
        with self._alone(), self._told(path):
            now = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
            if now != seen:
                return False
            with replacing(path) as temporary:
                temporary.write_bytes(data)
            return True

    def fetch(self, key: str, into: Path, limit: int, progress: Progress) -> str:
        path = self._root / key
        digest, left = hashlib.sha256(), limit
        with self._told(path):
            if not path.is_file() or path.is_symlink():
                raise VerificationFailed(f"{path} is missing")
            with path.open("rb") as source, into.open("wb") as sink:
                for _ in progress.track(range(-(-limit // _CHUNK)), -(-limit // _CHUNK), key):
                    chunk = source.read(min(_CHUNK, left))
                    digest.update(chunk)
                    sink.write(chunk)
                    left -= len(chunk)
                if source.read(1):
                    raise VerificationFailed(f"{path} is larger than the {limit:,} bytes that it may have")
        return digest.hexdigest()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder; what an interrupted writer left is swept away."""
        from filelock import FileLock, Timeout

        with self._told(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._root / LOCK, timeout=self._patience_s)
            try:
                lock.acquire()
            except Timeout:
                raise DataError(f"another process has held {self._root} for {self._patience_s:.0f} s") from None
        try:
            with self._told(self._root):
                shutil.rmtree(self._root / INCOMING, ignore_errors=True)
                (self._root / INCOMING).mkdir(exist_ok=True)
            yield
        finally:
            shutil.rmtree(self._root / INCOMING, ignore_errors=True)
            lock.release()

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        """Have the file system's refusal name the place."""
        try:
            yield
        except OSError as error:
            place = error.filename or path
            raise disk_full(error, path) or DataError(f"{place}: {error.strerror or error}") from None
