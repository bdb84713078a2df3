"""A folder of images with a folder a class, as torchvision, Keras and many exports of labelling tools lay it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from paddlepress.core.errors import DataError
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data.images import SUFFIXES, Images
from paddlepress.data.split_names import SPLIT_OF

if TYPE_CHECKING:
    from paddlepress.data.raw import Examples, Raw


class ImageFolder(Images):
    """Images in a folder a class; the class folders may lie in folders train, val and test."""

    source: Literal["image-folder"] = Field(default="image-folder", description="where the data come from")
    path: Annotated[str, Place()] = Field(
        min_length=1, description="the folder that holds the class folders, a local path or an s3:// location"
    )

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read all images of all class folders; the classes are the folders' names, sorted.

        Raises:
            DataError: there are no classes or no images, a split has a class that training lacks, or an image can't be
                read.
        """
        from paddlepress.data.raw import Raw

        root = self.local_path(into, progress, folder=True)
        splits = _splits(root)
        names = tuple(folder.name for folder in _folders(splits["train"]))
        if not names:
            raise DataError(f"{splits['train']} holds no folders. Valid: a folder of images for each class")
        parts = {name: self._part(folder, names, splits["train"], into, progress) for name, folder in splits.items()}
        return Raw("image-folder", parts["train"], parts.get("validation"), parts.get("test"), names)

    def _part(self, root: Path, names: tuple[str, ...], train: Path, into: Path, progress: Progress) -> Examples:
        import numpy as np

        files: list[Path] = []
        labels: list[int] = []
        for folder in _folders(root):
            if folder.name not in names:
                raise DataError(f"{folder} is of a class that {train} lacks. Valid: {', '.join(names[:10])}")
            found = sorted(path for path in folder.rglob("*") if _is_image(path.relative_to(folder)) and path.is_file())
            if not found and root == train:
                raise DataError(f"{folder} holds no images. Valid: files that end in {', '.join(sorted(SUFFIXES))}")
            files += found
            labels += [names.index(folder.name)] * len(found)
        if not files:
            raise DataError(f"{root} holds no images. Valid: a folder of images for each class")
        examples = self.decoded(files, np.array(labels, np.int64), (str(root), str(root)), into, progress)
        lost = sorted(set(labels) - set(examples.targets.tolist()))
        if lost and root == train:
            raise DataError(
                f"{root / names[lost[0]]}: none of its images can be read. Valid: one or more of each class"
            )
        return examples


def _splits(root: Path) -> dict[str, Path]:
    """The folder of each split; the whole is for training where no folder is."""
    found: dict[str, Path] = {}
    for folder in _folders(root):
        name = SPLIT_OF.get(folder.name.lower())
        if name in found:
            raise DataError(f"{root} has both {found[name].name} and {folder.name}. Valid: one folder a split")
        if name is not None:
            found[name] = folder
    return found if "train" in found else {"train": root}


def _is_image(path: Path) -> bool:
    """Whether a file is named as an image, and neither it nor a folder around it is hidden."""
    return path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Valid: a folder that holds a folder of images for each class")
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
