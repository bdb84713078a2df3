"""Images that text files list, a path and a label a line, as PaddleClas and PaddleX keep them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from pydantic import Field

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data.images import Images, mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paddlepress.data.raw import Examples, Raw

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]*)?")
_VALID = "Valid: a path and a label, with a space or tab between, such as images/one.jpg 3"


class ImageList(Images):
    """Images that lists in their folder name, a line each: a path and a label, or the path of a mask."""

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
    labels: Literal["classes", "masks"] = Field(
        default="classes",
        description="what follows a path: classes are numbers or names; masks are paths of images whose pixels are the "
        "numbers of classes (255: does not count), for the task segmentation",
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
        names = self._names(root)
        train = _listed(root, _present(root, self.train_list))
        if self.labels == "masks":
            targets: Callable[[_Listed], NDArray[Any]] = partial(self._masks, root)
        else:
            targets = partial(_targets, named=_are_names(train, names or self.wanted.get("classes", ())))

        def part(listed: _Listed) -> Examples:
            origin = str(listed.list)
            return self.decoded(listed.files, targets(listed), (origin, origin), into, progress)

        validation = _chosen(root, self.validation_list, "val_list.txt")
        test = _chosen(root, self.test_list, "test_list.txt")
        return Raw(
            "image-list",
            part(train),
            part(_listed(root, validation)) if validation else None,
            part(_listed(root, test)) if test else None,
            names,
        )

    def _masks(self, root: Path, listed: _Listed) -> NDArray[Any]:
        """Masks, uint8 [n, height, width]."""
        import numpy as np

        size = (self.size[0], self.size[1])
        places = [_inside(root, listed.list, *at) for at in zip(listed.lines, listed.labels, strict=True)]
        return np.stack([mask(place, size, self.resize) for place in places])

    def _names(self, root: Path) -> tuple[str, ...]:
        file = _chosen(root, self.label_list, "labels.txt") or _chosen(root, self.label_list, "label_list.txt")
        if file is None:
            return ()
        lines = [line for _, line in _lines(file)]
        split = [line.split(None, 1) for line in lines]
        numbered = all(len(parts) == 2 and parts[0] == str(place) for place, parts in enumerate(split))
        return tuple(parts[1].strip() for parts in split) if numbered else tuple(line.strip() for line in lines)


@dataclass(frozen=True)
class _Listed:
    """What a list says.

    Attributes:
        list: where it stands.
        files, labels, lines: the images, what is told of each, and on which line.
    """

    list: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    lines: tuple[int, ...]


def _listed(root: Path, file: Path) -> _Listed:
    rows = []
    for number, line in _lines(file):
        parts = line.rsplit("\t" if "\t" in line else None, 1)
        if len(parts) != 2:
            raise DataError(f"{file}, line {number}: {in_one_line(line, 80)!r} has no label. {_VALID}")
        if "\0" in line:
            raise DataError(f"{file}, line {number}: {in_one_line(line, 80)!r} holds a null character. {_VALID}")
        rows.append((_inside(root, file, number, parts[0].strip()), parts[1].strip(), number))
    if not rows:
        raise DataError(f"{file} lists no images. {_VALID}")
    return _Listed(file, *zip(*rows, strict=True))


def _inside(root: Path, file: Path, number: int, named: str) -> Path:
    """The path that a line of a list names."""
    path = root / named
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{file}, line {number}: {in_one_line(named, 80)!r} lies outside of {root}")
    return path


def _are_names(train: _Listed, names: Collection[str]) -> bool:
    """Whether labels are classes' names, which the training list decides for all lists.

    Raises:
        DataError: some are numbers and some are none, and they are not the classes that are named.
    """
    numbers = [_NUMBER.fullmatch(label) is not None for label in train.labels]
    if not any(numbers) or (set(train.labels) <= set(names) and not all(map(str.isdecimal, train.labels))):
        return True
    if not all(numbers):
        _refuse(train, numbers.index(not numbers[0]), "number" if numbers[0] else "class's name")
    return False


def _targets(part: _Listed, named: bool) -> NDArray[Any]:
    """Labels as they are read: classes' names, whole numbers, or numbers."""
    import numpy as np

    if named:
        return np.array(part.labels)
    for place, label in enumerate(part.labels):
        if not _NUMBER.fullmatch(label):
            _refuse(part, place, "number")
    whole = not any("." in label for label in part.labels)
    return np.array([int(label) if whole else float(label) for label in part.labels], np.int64 if whole else np.float64)


def _refuse(part: _Listed, place: int, kind: str) -> NoReturn:
    label = in_one_line(part.labels[place], 60)
    raise DataError(
        f"{part.list}, line {part.lines[place]}: the label {label!r} is no {kind}, but others are. "
        "Valid: numbers for all images, or classes' names for all; names that are numbers stand in 'label_list'"
    )


def _chosen(root: Path, stated: str, usual: str) -> Path | None:
    """The file that is stated, or else the usual one, if it is there."""
    if stated:
        return _present(root, stated)
    return root / usual if (root / usual).is_file() else None


def _present(root: Path, stated: str) -> Path:
    if not (root / stated).is_file():
        raise DataError(f"{root} has no file {stated!r}")
    return root / stated


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}") from None
    except OSError as error:
        raise DataError(f"{file} can't be read: {error.strerror or error}") from None
