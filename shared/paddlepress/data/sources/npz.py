"""NumPy archives: x_train, y_train, x_test, y_test and the like, or just x and y."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from paddlepress.core.errors import DataError
from paddlepress.core.fields import Place, expanded
from paddlepress.core.progress import Progress
from paddlepress.core.storage import is_s3
from paddlepress.data import places
from paddlepress.data.source import Digest, Located

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

    from paddlepress.data.raw import Examples, Raw

VALID = "Valid: x_train and y_train, with x_test, y_test, x_validation and y_validation if there are any; or x and y"


class Npz(Located):
    """A NumPy archive: arrays x_train, y_train, x_test, y_test, or x and y."""

    source: Literal["npz"] = Field(default="npz", description="where the data come from")
    path: Annotated[str, Place()] = Field(min_length=1, description="an .npz file, a local path or an s3:// location")
    sha256: Digest = ""

    @model_validator(mode="after")
    def _digest_of_a_file(self) -> Npz:
        if self.sha256 and self.path.endswith("/"):
            raise ValueError("'sha256' is of one file. Valid: with 'path' naming a file")
        return self

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the archive; no pickled object is ever loaded.

        Raises:
            DataError: it is no archive, lacks arrays, or they do not fit together.
        """
        path = self.local_path(into, progress)
        places.check_digest(path, self.sha256, "'sha256'")
        return read_file(path)

    def shape(self) -> tuple[int, ...] | None:
        """As the archive's header tells, of one on this machine."""
        return None if is_s3(self.path) else shape_of(expanded(self.path))


def read_file(path: Path) -> Raw:
    """Read an `.npz` archive.

    Raises:
        DataError: it is no archive, lacks arrays, or they do not fit together.
    """
    import numpy as np

    from paddlepress.data.raw import Raw

    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz archive, or is truncated")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            whole = {"x", "y"} <= names and not {"x_train", "y_train"} & names
            if not whole and not {"x_train", "y_train"} <= names:
                raise DataError(f"{path} holds {', '.join(sorted(names)) or 'nothing'}. {VALID}")
            train = _part(archive, "" if whole else "_train", path)
            assert train is not None
            return Raw("npz", train, _part(archive, "_validation", path), _part(archive, "_test", path))
    except (ValueError, EOFError, OSError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        reason = "it holds Python objects, which are not loaded" if "allow_pickle" in str(error) else error
        raise DataError(f"{path} can't be read: {reason}") from None


def shape_of(path: Path) -> tuple[int, ...] | None:
    """The shape of one example, without reading any; None where the archive does not tell.

    The shape is that of `Examples.of`: [channels, height, width] or [features].
    """
    import numpy as np

    from paddlepress.data.raw import channels_first

    try:
        with zipfile.ZipFile(path) as archive:
            names = {"x_train.npy", "x.npy"} & set(archive.namelist())
            with archive.open(max(names)) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else (np.lib.format.read_array_header_2_0)
                )
                shape, _, _ = read_header(stream)
        # An array of that shape which takes no memory.
        return channels_first(np.broadcast_to(np.uint8(0), shape), str(path)).shape[1:]
    except (DataError, ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile):
        return None


def _part(archive: NpzFile, suffix: str, path: Path) -> Examples | None:
    from paddlepress.data.raw import Examples

    x, y = f"x{suffix}", f"y{suffix}"
    present = {x, y} & set(archive.files)
    if not present:
        return None
    if len(present) == 1:
        raise DataError(f"{path} holds {present.pop()} without its counterpart. {VALID}")
    return Examples.of(archive[x], archive[y], f"{path}[{x}]", f"{path}[{y}]")
