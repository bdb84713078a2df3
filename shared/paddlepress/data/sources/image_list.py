"""Images that text files list, a path and a label a line, as PaddleClas and PaddleX keep them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data.images import Images

if TYPE_CHECKING:
    from paddlepress.data.raw import Examples, Raw

_VALID = "Valid: a path and a label, with a space or tab between, such as images/one.jpg 3"


class ImageList(Images):
    """Images that lists in their folder name, a line each: a path and a label, a number or a class's name."""

    source: Literal["image-list"] = Field(default="image-list", description="where the data come from")
    path: Annotated[str, Place()] = Field(
        min_length=1, description="the folder that the lists and the images lie in, a local path or an s3:// location"
    )
    train_list: str = Field(default="train_list.txt", min_length=1, description="the file that lists training images")
    validation_list: str = Field(
        default="", description="the file that lists validation images; empty takes val_list.txt, if there is one"
    )
    test_list: str = Field(
        default="", description="the file that lists test images; empty takes test_list.txt, if there is one"
    )
    label_list: str = Field(
        default="",
        description="the file of the classes' names, in the order of the labels, as `name` or `number name`; empty "
        "takes labels.txt or label_list.txt, if there is one",
    )

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the images of all lists.

        Raises:
            DataError: a list is missing or has a line that is none, or an image can't be read.
        """
        from paddlepress.data.raw import Raw

        root = self.local_path(into, progress, folder=True)
        if not root.is_dir():
            raise DataError(f"{root} is no folder. Valid: a folder with {self.train_list} and the images that it lists")
        train = self._part(root, self.train_list, into, progress)
        assert train is not None
        return Raw(
            "image-list",
            train,
            self._part(root, self.validation_list, into, progress, "val_list.txt"),
            self._part(root, self.test_list, into, progress, "test_list.txt"),
            self._names(root),
        )

    def _part(self, root: Path, stated: str, into: Path, progress: Progress, usual: str = "") -> Examples | None:
        import numpy as np

        file = _chosen(root, stated, usual)
        if file is None:
            return None
        files, labels = [], []
        for number, line in enumerate(_lines(file), 1):
            parts = line.rsplit("\t" if "\t" in line else None, 1)
            if len(parts) != 2:
                raise DataError(f"{file}, line {number}: {in_one_line(line, 80)!r} has no label. {_VALID}")
            path = root / parts[0].strip()
            if not path.resolve().is_relative_to(root.resolve()):
                raise DataError(f"{file}, line {number}: {in_one_line(parts[0], 80)!r} lies outside of {root}")
            files.append(path)
            labels.append(parts[1].strip())
        if not files:
            raise DataError(f"{file} lists no images. {_VALID}")
        numbers = all(label.isdecimal() for label in labels)
        targets = np.array([int(label) for label in labels], np.int64) if numbers else np.array(labels)
        return self.decoded(files, targets, (str(file), str(file)), into, progress)

    def _names(self, root: Path) -> tuple[str, ...]:
        file = _chosen(root, self.label_list, "labels.txt") or _chosen(root, self.label_list, "label_list.txt")
        if file is None:
            return ()
        lines = list(_lines(file))
        split = [line.split(None, 1) for line in lines]
        numbered = all(len(parts) == 2 and parts[0] == str(place) for place, parts in enumerate(split))
        return tuple(parts[1].strip() for parts in split) if numbered else tuple(line.strip() for line in lines)


def _chosen(root: Path, stated: str, usual: str) -> Path | None:
    """The file that is stated, or else the usual one, if it is there."""
    if not stated:
        return root / usual if (root / usual).is_file() else None
    if not (root / stated).is_file():
        raise DataError(f"{root} has no file {stated!r}")
    return root / stated


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}") from None
    except OSError as error:
        raise DataError(f"{file} can't be read: {error.strerror or error}") from None
