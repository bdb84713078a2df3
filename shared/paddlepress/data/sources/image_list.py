"""Images that text files list, a path and a label a line, as PaddleClas, PaddleOCR and PaddleX keep them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from pydantic import Field, model_validator

from paddlepress.core.errors import DataError, in_one_line, shown
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data.images import Images, few, mask
from paddlepress.tasks.base import DEFAULT_KIND, task_class
from paddlepress.tasks.text_recognition import TextRecognition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from paddlepress.data.raw import Examples, Raw

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]*)?")
_VALID = "Valid: a path and a label, with a space or tab between, such as images/one.jpg 3"
_VALID_TEXT = "Valid: a path, a tab, and the text that the image shows"
_COLUMNS_A_STEP = 4  # of an image, where a recipe does not say how many steps its networks have


class ImageList(Images):
    """Images that lists in their folder name, a line each: a path and a label, a text, or the path of a mask."""

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
    labels: Literal["classes", "masks", "text"] = Field(
        default="classes",
        description="what follows a path: classes are numbers or names; masks are paths of images whose pixels are the "
        "numbers of classes (255: does not count), for the task segmentation; text, behind a tab, is what a line of "
        "text says, for the task text-recognition",
    )
    label_list: str = Field(
        default="",
        description="the file of the classes' names, in the order of the labels, as `name` or `number name`; empty "
        "takes labels.txt or label_list.txt, if there is one",
    )
    dictionary: str = Field(
        default="",
        description="text: the file of the characters, one a line, in the order of the logits behind the blank; empty "
        "takes the characters of the training texts, sorted",
    )
    use_space: bool = Field(default=False, description="text: the space is a character too, behind the dictionary's")
    on_error: Literal["fail", "skip"] = Field(
        default="fail",
        description="what an image that can't be read does, or a text that can't be learned: end the run, or be left "
        "out and counted",
    )

    @property
    def wanted(self) -> dict[str, Any]:
        """The task as far as it is stated; a line of text has a step for every four columns, if nothing else is said.

        Which is how Shi, Bai and Yao's CRNN divides it, and `crnn` here.
        """
        stated = super().wanted
        return {"steps": max(1, self.size[1] // _COLUMNS_A_STEP), **stated} if self.labels == "text" else stated

    @model_validator(mode="after")
    def _text_for_its_task(self) -> ImageList:
        kind = self.task.get("kind", DEFAULT_KIND)
        is_text, wants_text = self.labels == "text", issubclass(task_class(kind), TextRecognition)
        if is_text != wants_text:
            valid = "'task' is text-recognition" if is_text else "'labels' is text"
            raise ValueError(f"'labels' is {self.labels}, but the task is {kind!r}. Valid: {valid}")
        if self.dictionary and not is_text:
            raise ValueError(f"'dictionary' is {self.dictionary!r}, but 'labels' is {self.labels}. Valid: text")
        if self.dictionary and "characters" in self.task:
            raise ValueError("the characters are named twice, by 'dictionary' and in 'task'")
        if self.use_space and not self.dictionary:
            raise ValueError("'use_space' is true, but there is no 'dictionary' that it adds to")
        return self

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the images of all lists.

        Raises:
            DataError: a list is missing or has a line that is none, or an image can't be read.
        """
        from paddlepress.data.raw import Raw

        root = self.local_path(into, progress, folder=True)
        if not root.is_dir():
            raise DataError(f"{root} is no folder. Valid: a folder with {self.train_list} and the images that it lists")
        is_text = self.labels == "text"
        names = () if is_text else self._names(root)
        train = _listed(root, _present(root, self.train_list), is_text)
        if is_text:
            names, named_by = self._characters(root, train)
            task = self._recognition(names)
            targets: Callable[[_Listed], NDArray[Any]] = _texts
        elif self.labels == "masks":
            targets = partial(self._masks, root)
        else:
            targets = partial(_targets, named=_are_names(train, names or self.wanted.get("classes", ())))

        def part(listed: _Listed) -> Examples:
            origin = str(listed.list)
            if is_text:
                listed = self._learnable(listed, task, named_by, progress)
            return self.decoded(listed.files, targets(listed), (origin, origin), into, progress)

        validation = _chosen(root, self.validation_list, "val_list.txt")
        test = _chosen(root, self.test_list, "test_list.txt")
        return Raw(
            "image-list",
            part(train),
            part(_listed(root, validation, is_text)) if validation else None,
            part(_listed(root, test, is_text)) if test else None,
            names,
        )

    def _masks(self, root: Path, listed: _Listed) -> NDArray[Any]:
        """Masks, uint8 [n, height, width]."""
        import numpy as np

        size = (self.size[0], self.size[1])
        places = [_inside(root, listed.list, *at) for at in zip(listed.lines, listed.labels, strict=True)]
        return np.stack([mask(place, size, self.resize) for place in places])

    def _characters(self, root: Path, train: _Listed) -> tuple[tuple[str, ...], str]:
        """The characters in their order, and what names them: the task, the dictionary, or the training texts."""
        if "characters" in self.task:
            return tuple(self.task["characters"]), "'task'"
        if self.dictionary:
            found = _dictionary(_present(root, self.dictionary))
            return (*found, " ") if self.use_space else found, self.dictionary
        if not any(train.labels):
            raise DataError(f"{train.list}: every text is empty. {_VALID_TEXT}")
        return tuple(sorted(set[str]().union(*train.labels))), "the training texts"

    def _recognition(self, characters: Collection[str]) -> TextRecognition:
        fields = {name: value for name, value in self.wanted.items() if name != "kind"}
        found = task_class(self.wanted["kind"]).stating({**fields, "characters": "".join(characters)})
        assert isinstance(found, TextRecognition)  # another was refused with the recipe
        return found

    def _learnable(self, listed: _Listed, task: TextRecognition, named_by: str, progress: Progress) -> _Listed:
        """What a list says, without the lines whose text the task can't learn.

        Raises:
            DataError: there are some, and they are not to be skipped, or there are no others.
        """
        kept, problems = [], []
        for row in zip(listed.files, listed.labels, listed.lines, strict=True):
            if problem := task.misfit(row[1]):
                problems.append(f"line {row[2]}: the text {shown(row[1])} {problem}")
            else:
                kept.append(row)
        if not problems:
            return listed
        if self.on_error == "fail" or not kept:
            valid = f"{task.valid(named_by)}; on_error: skip leaves such lines out"
            raise DataError(f"{listed.list}, {few(problems)}. Valid: {valid}")
        progress.note(f"{listed.list}: {len(problems)} of {len(listed.labels)} lines are left out: {few(problems)}")
        return _Listed(listed.list, *zip(*kept, strict=True))

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


def _listed(root: Path, file: Path, is_text: bool = False) -> _Listed:
    rows, valid = [], _VALID_TEXT if is_text else _VALID
    for number, line in _lines(file):
        parts = line.split("\t") if is_text else line.rsplit("\t" if "\t" in line else None, 1)
        if len(parts) != 2:
            found = f"has {len(parts) - 1} tabs" if is_text else "has no label"
            raise DataError(f"{file}, line {number}: {in_one_line(line, 80)!r} {found}. {valid}")
        if "\0" in line:
            raise DataError(f"{file}, line {number}: {in_one_line(line, 80)!r} holds a null character. {valid}")
        path, told = parts[0].strip(), parts[1] if is_text else parts[1].strip()
        rows.append((_inside(root, file, number, path), told, number))
    if not rows:
        raise DataError(f"{file} lists no images. {valid}")
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


def _texts(part: _Listed) -> NDArray[Any]:
    """The texts as they are read; objects, for an array of `str` drops null characters."""
    import numpy as np

    return np.array(part.labels, dtype=object)


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


def _dictionary(file: Path) -> tuple[str, ...]:
    """The characters of a dictionary, one a line, of which a blank one may be the space."""
    lines = _text(file).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) != 1:
            raise DataError(
                f"{file}, line {number}: {in_one_line(line, 40)!r} has {len(line)} characters. Valid: one in each line"
            )
    return tuple(lines)


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    return [(number, line) for number, line in enumerate(_text(file).split("\n"), 1) if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}") from None
    except OSError as error:
        raise DataError(f"{file} can't be read: {error.strerror or error}") from None
