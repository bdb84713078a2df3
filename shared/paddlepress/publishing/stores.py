"""Where versions are published to: a folder, or a prefix in S3. Both write a file once and a pointer by comparison.

Keys are paths below the place, such as `digits/7/manifest.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paddlepress.core.fields import expanded
from paddlepress.core.progress import Progress
from paddlepress.core.storage import is_s3

MOST_FILES = 10_000  # below one prefix; more are no published version's


@dataclass(frozen=True)
class Stored:
    """A small file, and which state of it this is.

    Attributes:
        data: its bytes.
        tag: changes whenever the file is written.
    """

    data: bytes
    tag: str


class Store(Protocol):
    """A place of published versions."""

    location: str
    """See `normalized`."""

    def at(self, key: str) -> str:
        """Where a key is, for messages."""
        ...

    def read(self, key: str, limit: int) -> Stored | None:
        """A file that is small; None if there is none.

        Raises:
            VerificationFailed: it has more than `limit` bytes.
            DataError: the place can't be reached or refuses, as for every other method.
        """
        ...

    def files(self, prefix: str) -> dict[str, int]:
        """The size of every file below a prefix, such as `digits/7/`, by its path below it, hidden ones too."""
        ...

    def put_new(self, key: str, path: Path, progress: Progress) -> bool:
        """Copy a file there, whole or not at all; False if there is one already, which stays as it is."""
        ...

    def holds(self, key: str, path: Path) -> bool:
        """Whether what is stored there has the size and the SHA-256 of a file here, as the place itself finds them."""
        ...

    def replace(self, key: str, data: bytes, seen: str | None) -> bool:
        """Write a small file if it is still as it was seen.

        Args:
            key: the file.
            data: what it is to hold.
            seen: the tag of what was read; None if there was none.

        Returns:
            False if somebody else has written it since.
        """
        ...

    def fetch(self, key: str, into: Path, limit: int, progress: Progress) -> str:
        """Copy a file of up to `limit` bytes from there, and give the SHA-256 of what arrived.

        Raises:
            VerificationFailed: it is missing or larger.
        """
        ...


def normalized(location: str) -> str:
    """A place as it is written down: without a slash at its end, a folder with its whole path."""
    return location.rstrip("/") if is_s3(location) else str(expanded(location).absolute())
