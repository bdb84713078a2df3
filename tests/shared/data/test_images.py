"""Image files: what becomes of sizes, colours and orientations, and of files that are no images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.data.images import decode
from paddlepress.data.sources.image_folder import ImageFolder
from paddlepress.data.sources.image_list import ImageList
from paddlepress.data.store import load, prepare


class Told(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def picture(path: Path, size: tuple[int, int], color: Any, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)
    return path


def halves(path: Path, **options: Any) -> Path:
    """An image 40 wide and 20 high, red on the left and blue on the right."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    image.save(path, **options)
    return path


def test_stretch_pad_and_crop(tmp_path: Path) -> None:
    """Stretching keeps both halves, padding adds black above and below, cropping cuts both sides off evenly."""
    file = halves(tmp_path / "wide.png")
    stretched, padded, cropped = (decode(file, (20, 20), how, True) for how in ("stretch", "pad", "crop"))
    assert {image.shape for image in (stretched, padded, cropped)} == {(3, 20, 20)}
    for image in (stretched, cropped):
        assert (image[0, :, 0] > 250).all() and (image[2, :, -1] > 250).all()
    assert padded[:, :5].max() == padded[:, -5:].max() == 0 and (padded[0, 6:14, 0] > 250).all()


@given(width=st.integers(1, 60), height=st.integers(1, 60), side=st.integers(1, 40))
def test_every_size_becomes_the_one_wanted(tmp_path_factory: Any, width: int, height: int, side: int) -> None:
    """An image of one colour has that colour at any size, however it is brought there, but for padding."""
    file = picture(tmp_path_factory.mktemp("image") / "one.png", (width, height), (10, 200, 30))
    for how in ("stretch", "crop"):
        found = decode(file, (side, 2 * side), how, True)
        assert found.shape == (3, side, 2 * side) and found.dtype == np.uint8 and found.flags.c_contiguous
        assert (found == np.array([10, 200, 30])[:, None, None]).all()


def test_orientation_transparency_and_depth(tmp_path: Path) -> None:
    """A camera's orientation is applied, transparency is white, 16 bits a pixel become 8, grey has a channel."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    turned = decode(halves(tmp_path / "turned.jpg", exif=exif.tobytes(), quality=95), (40, 20), "stretch", True)
    assert (turned[0, :15].mean() > 240) and (turned[2, -15:].mean() > 240)
    clear = decode(picture(tmp_path / "clear.png", (4, 4), (0, 0, 0, 0), "RGBA"), (4, 4), "stretch", True)
    assert (clear == 255).all()
    Image.fromarray(np.full((4, 4), 128 * 256, np.uint16)).save(tmp_path / "deep.png")
    assert (decode(tmp_path / "deep.png", (4, 4), "stretch", False) == 128).all()
    Image.fromarray(np.full((4, 4), 128 * 256, np.uint16)).save(tmp_path / "deep.pgm")
    assert (decode(tmp_path / "deep.pgm", (4, 4), "stretch", True) == 128).all()
    grey = decode(halves(tmp_path / "grey.webp", lossless=True), (20, 40), "stretch", False)
    assert grey.shape == (1, 20, 40) and grey[0, 0, 0] == 76 and grey[0, 0, -1] == 29


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_pixels_of_no_known_range_are_refused(dtype: str, tmp_path: Path) -> None:
    """Pillow would cut numbers of 32 bits off at 255, and leave an image black or white."""
    Image.fromarray(np.full((4, 4), 0.5).astype(dtype)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match=r"deep.tif can't be read: .* 32-bit"):
        decode(tmp_path / "deep.tif", (4, 4), "stretch", True)


def folder_of_classes(root: Path, classes: dict[str, int], count: int = 12) -> Path:
    for name, value in classes.items():
        for number in range(count):
            picture(root / name / f"{number:02}.png", (6 + number, 8), (value, value, number))
    return root


def test_a_folder_a_class(tmp_path: Path) -> None:
    """The classes are the folders in the order of their names; hidden files and other files are passed over."""
    root = folder_of_classes(tmp_path / "data", {"dark": 10, "light": 240})
    (root / "dark" / ".DS_Store").write_bytes(b"x")
    (root / "dark" / "notes.txt").write_text("x")
    (root / "dark" / "._00.png").write_bytes(b"x")  # as macOS leaves behind
    picture(root / "dark" / ".ipynb_checkpoints" / "00-checkpoint.png", (2, 2), 0, "L")
    (root / ".git").mkdir()
    (tmp_path / "into").mkdir()
    raw = ImageFolder(path=str(root), size=8).read(tmp_path / "into", Silent())  # type: ignore[arg-type]
    assert raw.classes == ("dark", "light") and raw.validation is None and raw.test is None
    assert raw.train.stored.shape == (24, 3, 8, 8) and raw.train.stored.dtype == np.uint8
    assert raw.train.targets.tolist() == [0] * 12 + [1] * 12
    assert (raw.train.inputs[:12, 0] == 10).all() and (raw.train.inputs[12:, 0] == 240).all()
    assert raw.train.inputs[5, 2, 0, 0] == 5  # in the order of the files' names


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    """The labels are places among the folders: the same names in another order would call each class by another."""
    root = folder_of_classes(tmp_path / "data", {"dark": 10, "light": 240})
    fields: Any = {"path": str(root), "size": 8}
    with pytest.raises(
        DataError, match=r"'classes' names 'light' in another place .* Valid: dark, light, in that order"
    ):
        prepare(ImageFolder(classes=("light", "dark"), **fields), tmp_path / "d", tmp_path / "t")
    summary = prepare(ImageFolder(classes=("night", "day"), **fields), tmp_path / "d", tmp_path / "t")
    assert summary["task"]["classes"] == ["night", "day"]


@pytest.mark.parametrize("splits", [("train", "val", "test"), ("Training", "Validation", "TEST")])
def test_folders_of_splits_become_splits(splits: tuple[str, ...], tmp_path: Path) -> None:
    """Folders train, val and test are the splits; the data set that comes of them has the sizes of the files."""
    for split, count in zip(splits, (20, 5, 7), strict=True):
        folder_of_classes(tmp_path / "data" / split, {"dark": 10, "light": 240}, count)
    source = ImageFolder(path=str(tmp_path / "data"), size=(8, 6), color="grayscale", calibration=4)
    summary = prepare(source, tmp_path / "d", tmp_path / "t")
    assert summary["splits"] == {"train": 40, "validation": 10, "calibration": 4, "test": 14}
    assert summary["task"]["classes"] == ["dark", "light"] and summary["inputs"][0]["shape"] == [1, 8, 6]
    assert load(tmp_path / "d").split("train").inputs.shape == (40, 1, 8, 6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "train" / "dark" / "03.png").write_bytes(b"no image"),
            r"03.png can't be read: it is no im",
        ),
        (lambda root: (root / "train" / "dark" / "03.png").write_bytes(b""), r"03.png can't be read"),
        (
            lambda root: picture(root / "val" / "grey" / "a.png", (2, 2), 1, "L"),
            r"val/grey is of a class that .* lacks",
        ),
        (lambda root: (root / "Training").mkdir(), r"data has both Training and train. Valid: one folder a split"),
        (lambda root: (root / "train" / "empty").mkdir(), r"train/empty holds no images. Valid: .*\.png"),
    ],
)
def test_what_is_wrong_with_a_folder(damage: Any, message: str, tmp_path: Path) -> None:
    """An unreadable image, a class that training lacks and an empty class are named; nothing is left behind."""
    root = folder_of_classes(tmp_path / "data" / "train", {"dark": 10, "light": 240}).parent
    damage(root)
    with pytest.raises(DataError, match=message) as caught:
        prepare(ImageFolder(path=str(root), size=8), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["data"]


def test_unreadable_images_can_be_skipped(tmp_path: Path) -> None:
    """`on_error: skip` leaves them out with their labels, and says how many and which."""
    root = folder_of_classes(tmp_path / "data", {"dark": 10, "light": 240})
    whole = (root / "light" / "04.png").read_bytes()
    (root / "light" / "04.png").write_bytes(whole[: len(whole) // 2])
    (root / "dark" / "00.png").write_bytes(b"no image")
    told = Told()
    (tmp_path / "into").mkdir()
    raw = ImageFolder(path=str(root), size=8, on_error="skip").read(tmp_path / "into", told)  # type: ignore[arg-type]
    assert raw.train.targets.tolist() == [0] * 11 + [1] * 11
    assert (raw.train.inputs[:11, 0] == 10).all() and (raw.train.inputs[11:, 0] == 240).all()
    (note,) = told.notes
    assert note.startswith("2 of 24 images are left out: ") and "00.png" in note and "04.png" in note


def test_a_class_is_not_skipped_whole(tmp_path: Path) -> None:
    """`on_error: skip` leaves images out, but no class."""
    root = folder_of_classes(tmp_path / "data", {"dark": 10, "light": 240})
    for file in (root / "light").iterdir():
        file.write_bytes(b"no image")
    (tmp_path / "into").mkdir()
    source = ImageFolder(path=str(root), size=8, on_error="skip")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"data/light: none of its images can be read"):
        source.read(tmp_path / "into", Silent())


def listed(root: Path, lines: str = "{0}\t{1}") -> Path:
    """Images with lists of them, and names of their classes."""
    folder_of_classes(root / "a folder", {"dark": 10, "light": 240})
    for split, numbers in (("train", range(8)), ("val", range(8, 10)), ("test", range(10, 12))):
        rows = [(f"a folder/{name}/{n:02}.png", label) for n in numbers for label, name in enumerate(("dark", "light"))]
        (root / f"{split}_list.txt").write_text("".join(lines.format(*row) + "\n" for row in rows))
    (root / "labels.txt").write_text("night\nday\n")
    return root


@pytest.mark.parametrize("lines", ["{0}\t{1}", "{0} {1}", "{0}   {1}  \n"])
def test_lists_of_images(lines: str, tmp_path: Path) -> None:
    """Paths may hold spaces, labels follow a space or tab; the splits and the names of the classes are the files'."""
    (tmp_path / "into").mkdir()
    raw = ImageList(path=str(listed(tmp_path / "data", lines)), size=8).read(  # type: ignore[arg-type]
        tmp_path / "into", Silent()
    )
    assert raw.classes == ("night", "day") and raw.validation is not None and raw.test is not None
    assert [len(part) for part in (raw.train, raw.validation, raw.test)] == [16, 4, 4]
    assert raw.train.targets.tolist() == [0, 1] * 8
    assert (raw.train.inputs[::2, 0] == 10).all() and (raw.test.inputs[1::2, 0] == 240).all()


def test_labels_may_be_names(tmp_path: Path) -> None:
    """Labels that are no numbers are the classes' names; numbered names of classes lose their numbers."""
    root = listed(tmp_path / "data")
    (root / "labels.txt").unlink()
    for split in ("train", "val", "test"):
        path = root / f"{split}_list.txt"
        path.write_text(path.read_text().replace("\t0", "\tnight").replace("\t1", "\tday"))
    summary = prepare(ImageList(path=str(root), size=8), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    assert summary["task"]["classes"] == ["day", "night"]
    assert load(tmp_path / "d").split("train").labels[:2].tolist() == [1, 0]
    (root / "label_list.txt").write_text("0 night\n1 broad day\n")
    (tmp_path / "into").mkdir()
    source = ImageList(path=str(root), size=8)  # type: ignore[arg-type]
    assert source.read(tmp_path / "into", Silent()).classes == ("night", "broad day")


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_training_list_says_what_labels_are(split: str, tmp_path: Path) -> None:
    """Where its labels are names, those of other lists are too; where they are numbers, a name elsewhere is refused."""
    root = listed(tmp_path / "data")
    (root / "labels.txt").write_text("1\nday\n")
    for name in ("train", "val", "test"):
        path = root / f"{name}_list.txt"
        path.write_text(path.read_text().replace("\t1", "\tday").replace("\t0", "\t1"))
    (root / f"{split}_list.txt").write_text("a folder/dark/00.png\t1\n")
    (tmp_path / "into").mkdir()
    source = ImageList(path=str(root), size=8)  # type: ignore[arg-type]
    raw = source.read(tmp_path / "into", Silent())
    assert raw.parts[{"val": "validation"}.get(split, split)].targets.tolist() == ["1"]
    (root / "labels.txt").unlink()
    with pytest.raises(DataError, match=r"train_list.txt, line 2: the label 'day' is no number, but others are"):
        source.read(tmp_path / "into", Silent())
    listed(root)
    (root / f"{split}_list.txt").write_text("a folder/dark/00.png\tnight\n")
    with pytest.raises(DataError, match=rf"{split}_list.txt, line 1: the label 'night' is no number, but others are"):
        source.read(tmp_path / "into", Silent())


def test_labels_may_be_numbers_to_predict(tmp_path: Path) -> None:
    """Labels with a fraction or a sign are the targets of a regression."""
    root = listed(tmp_path / "data", "{0}\t-{1}.5")
    (root / "labels.txt").unlink()
    prepare(ImageList(path=str(root), size=8, task="regression"), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    assert load(tmp_path / "d").split("train").labels[:2].tolist() == [[-0.5], [-1.5]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("alone.png", r"train_list.txt, line 17: 'alone.png' has no label. Valid: a path and a label"),
        ("absent.png\t1", r"absent.png does not exist"),
        ("../../outside.png\t1", r"line 17: '../../outside.png' lies outside of"),
        ("a folder/dark/00.png\t7", r"label 7 of example 16 is outside of the classes .* night, day"),
        ("a folder/dark/00.png\t-1", r"label -1 of example 16 is outside of the classes"),
        ("a folder/dark/00.png\t1.5", r"the labels are float64 of shape .* Valid: whole numbers, or classes' names"),
        ("a folder/dark/00.png\tday", r"line 17: the label 'day' is no number, but others are. Valid: numbers for all"),
        (f"a folder/dark/00.png\t{10**30}", r"line 17: the label '1000.*' is no number, but others are"),
        ("\n \nalone.png", r"train_list.txt, line 19: 'alone.png' has no label"),
        ("a folder/dark/0\0.png\t1", r"line 17: .* holds a null character"),
    ],
)
def test_what_is_wrong_with_a_list(line: str, message: str, tmp_path: Path) -> None:
    """A line without a label, a file that is not there or not inside, and a label that is no class are named."""
    root = listed(tmp_path / "data")
    (root / "train_list.txt").write_text((root / "train_list.txt").read_text() + line + "\n")
    with pytest.raises(DataError, match=message) as caught:
        prepare(ImageList(path=str(root), size=8), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_an_image_is_does_not_follow_from_its_name(tmp_path: Path) -> None:
    """A PNG called .jpg is read; PostScript, for which Pillow would start another program, is no image here."""
    picture(tmp_path / "one.png", (4, 4), 7, "L").rename(tmp_path / "one.jpg")
    assert (decode(tmp_path / "one.jpg", (4, 4), "stretch", False) == 7).all()
    Image.new("L", (4, 4)).save(tmp_path / "page.eps")
    (tmp_path / "page.eps").rename(tmp_path / "page.png")
    with pytest.raises(DataError, match=r"page.png can't be read: it is no image"):
        decode(tmp_path / "page.png", (4, 4), "stretch", False)
