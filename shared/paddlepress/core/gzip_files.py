"""gzip files that are decompressed up to a stated size and no further; `gunzip` reads them too."""

from __future__ import annotations

import zlib

# Method deflate, no name, no time, written on Unix: the same bytes on every machine at any time.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"
_GZIP = 31  # zlib's `wbits` for a gzip member
_MOST_MEMBERS = 2  # a text, and bytes that are only stored


def compress(data: bytes, level: int = 9) -> bytes:
    """One gzip member; level 0 stores the bytes as they are."""
    return _HEADER + zlib.compress(data, level, wbits=_GZIP)[len(_HEADER) :]


def decompress(data: bytes, limit: int) -> bytes:
    """What the gzip members of a file hold, one after the other.

    Args:
        data: the file.
        limit: the most bytes that they may hold.

    Raises:
        ValueError: the file is damaged, or holds more; no more than that is ever decompressed.
    """
    parts: list[bytes] = []
    left = limit
    rest = memoryview(data)
    while rest:
        if len(parts) == _MOST_MEMBERS:
            raise ValueError("it has bytes after its end")
        if rest[: len(_HEADER)] != _HEADER:
            raise ValueError("it is no gzip file of paddlepress")
        member = zlib.decompressobj(wbits=_GZIP)
        try:
            part = member.decompress(rest, left + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(part) > left:
            raise ValueError(f"it holds more than the {limit:,} bytes that are stated")
        if not member.eof:
            raise ValueError("it ends too early")
        parts.append(part)
        left -= len(part)
        rest = rest[len(rest) - len(member.unused_data) :]
    return parts[0] if len(parts) == 1 else b"".join(parts)
