"""`SHA256SUMS`: the checksum of every file of a published version, as `sha256sum --check` reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from paddlepress.core.errors import VerificationFailed, in_one_line
from paddlepress.core.files import sha256_of

FILE = "SHA256SUMS"
LARGEST = 2**20  # bytes

_MOST = 1000  # files
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}"
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_PART}(?:/{_PART}){{0,5}})")


def of_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def text_of(checksums: Mapping[str, str]) -> bytes:
    """The text of `SHA256SUMS`."""
    return "".join(f"{checksums[path]}  {path}\n" for path in sorted(checksums)).encode()


def parse(data: bytes, at: str) -> dict[str, str]:
    """SHA-256 by path, from the text of `SHA256SUMS`.

    Args:
        data: the text.
        at: where it stands, for messages.

    Raises:
        VerificationFailed: it is damaged, names a file twice, or one that would not lie in its folder.
    """
    found: dict[str, str] = {}
    lines = data.decode("utf-8", "replace").split("\n")
    if lines.pop() or not lines or len(lines) > _MOST:
        raise VerificationFailed(f"{at} is damaged: it has no whole lines of checksums, or more than {_MOST}")
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise VerificationFailed(f"{at} is damaged: {in_one_line(repr(line), 120)} is no line of a checksum")
        found[match[2]] = match[1]
    return found
