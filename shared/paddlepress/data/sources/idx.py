"""Folders of IDX files, the format MNIST was published in (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from paddlepress.core.errors import DataError
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data.source import Located

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paddlepress.data.raw import Examples, Raw

ELEMENT_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
TRAIN, TEST = ("train",), ("t10k", "test")


class Idx(Located):
    """A folder of IDX files named as MNIST's."""

    source: Literal["idx"] = Field(default="idx", description="where the data come from")
    path: Annotated[str, Place()] = Field(
        min_length=1, description="a folder of IDX files, a local path or an s3:// location"
    )

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the folder: training files, and test files (`t10k-` or `test-`) if there are any.

        Raises:
            DataError: files are missing, damaged or do not fit together.
        """
        return read_folder(self.local_path(into, progress, folder=True), "idx")


def read_folder(folder: Path, name: str) -> Raw:
    """Read `train-images-idx3-ubyte` and the like from a folder, plain or with `.gz`.

    Raises:
        DataError: files are missing, damaged or do not fit together.
    """
    from paddlepress.data.raw import Raw

    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Valid: a folder with train-{IMAGES}[.gz] and train-{LABELS}[.gz]")
    train = _pair(folder, TRAIN)
    if train is None:
        present = sorted(path.name for path in folder.iterdir())
        found = ", ".join(present[:8]) + (", ..." if len(present) > 8 else "") if present else "nothing"
        raise DataError(f"{folder} has no train-{IMAGES}[.gz]. It has: {found}")
    return Raw(name, train, test=_pair(folder, TEST))


def read_file(path: Path) -> NDArray[Any]:
    """Read one IDX file: two zero bytes, element type, rank, big-endian dimensions, then exactly the elements.

    Raises:
        DataError: it has another form, or more or fewer bytes than its dimensions say.
    """
    import numpy as np

    content = _content(path)
    if len(content) < 4:
        raise DataError(f"{path} is no IDX file: it has {len(content)} bytes. Valid: at least 4")
    zeros, kind, rank = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind not in ELEMENT_TYPES or rank == 0:
        raise DataError(
            f"{path} is no IDX file: it starts with 0x{content[:4].hex()}. "
            "Valid: 0x0000, an element type of 0x08, 0x09 or 0x0b..0x0e, and a rank of at least 1"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{path} is truncated: it has {len(content)} bytes, its header alone takes {start}")
    shape = struct.unpack(f">{rank}I", content[4:start])
    element = np.dtype(ELEMENT_TYPES[kind])
    expected = start + math.prod(shape) * element.itemsize
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "damaged"
        raise DataError(f"{path} is {state}: it has {len(content)} bytes, its shape {list(shape)} needs {expected}")
    return np.frombuffer(content, element, offset=start).reshape(shape).astype(element.newbyteorder("="))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: it can't be decompressed ({error})") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from None


def _pair(folder: Path, prefixes: tuple[str, ...]) -> Examples | None:
    from paddlepress.data.raw import Examples

    images, labels = _find(folder, prefixes, IMAGES), _find(folder, prefixes, LABELS)
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing = f"{prefixes[0]}-{IMAGES if images is None else LABELS}[.gz]"
        raise DataError(f"{folder} has no {missing}, only its counterpart")
    pixels, targets = read_file(images), read_file(labels)
    if pixels.ndim != 3:
        raise DataError(f"{images} has shape {list(pixels.shape)}. Valid: images of shape [n, height, width]")
    if targets.ndim != 1:
        raise DataError(f"{labels} has shape {list(targets.shape)}. Valid: labels of shape [n]")
    return Examples.of(pixels, targets, str(images), str(labels))


def _find(folder: Path, prefixes: tuple[str, ...], kind: str) -> Path | None:
    for prefix in prefixes:
        for spelled in (kind, kind.replace("-idx", ".idx")):
            for suffix in ("", ".gz"):
                path = folder / f"{prefix}-{spelled}{suffix}"
                if path.is_file():
                    return path
    return None
