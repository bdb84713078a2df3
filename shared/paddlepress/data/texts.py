"""Texts of many examples in one array of bytes, which may be a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError

_END = np.dtype("<i8")


class Texts:
    """Texts [n]; a slice, or the rows at some places, are read by themselves, as an array of `str` objects.

    Args:
        packed: uint8: where each text ends among their bytes, as n numbers of 8 bytes, and then their bytes (UTF-8).
        count: n.
        origin: where they came from, for errors.

    Raises:
        DataError: they can't lie in these bytes.
    """

    def __init__(self, packed: NDArray[np.uint8], count: int, origin: str) -> None:
        head = count * _END.itemsize
        if packed.ndim != 1 or packed.dtype != np.uint8 or len(packed) < head:
            raise DataError(f"{origin} is damaged: it can't hold {count} texts")
        self.packed, self.origin = packed, origin
        self._ends, self._bytes = packed[:head].view(_END), packed[head:]
        if count and (int(self._ends[-1]) != len(self._bytes) or (np.diff(self._ends, prepend=0) < 0).any()):
            raise DataError(f"{origin} is damaged: its texts do not lie one after the other")

    @classmethod
    def of(cls, texts: Iterable[Any], origin: str) -> Texts:
        """Texts in memory.

        Raises:
            DataError: one can't be written as UTF-8.
        """
        try:
            encoded = [str(text).encode() for text in texts]
        except UnicodeEncodeError as error:
            raise DataError(f"{origin} holds text that is no Unicode: {error.reason}") from None
        ends = np.cumsum([len(each) for each in encoded], dtype=_END)
        return cls(np.frombuffer(ends.tobytes() + b"".join(encoded), np.uint8), len(encoded), origin)

    @property
    def shape(self) -> tuple[int]:
        """[n]."""
        return (len(self),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return np.dtype(object)

    @property
    def ndim(self) -> int:
        """One."""
        return 1

    @property
    def nbytes(self) -> int:
        """Of all texts, with where they end."""
        return self.packed.nbytes

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        places = np.arange(len(self))[rows]
        found = np.empty(len(places), object)
        for row, place in enumerate(places):
            start = int(self._ends[place - 1]) if place else 0
            try:
                found[row] = self._bytes[start : int(self._ends[place])].tobytes().decode()
            except UnicodeDecodeError:
                raise DataError(f"{self.origin} is damaged: text {place} is no UTF-8") from None
        return found
