"""NumPy archives: layouts that are understood, and clear words for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.core.errors import DataError
from paddlepress.data.memory import Sizes
from paddlepress.data.prepared import prepared
from paddlepress.data.raw import Raw
from paddlepress.data.sources import npz
from paddlepress.tasks import Classification

LABELS = np.arange(12) % 3


def class_names(raw: Raw, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that a data set turns out to have."""
    wanted = {"kind": "classification", **({"classes": classes} if classes else {})}
    task = prepared(raw, wanted, Sizes()).task
    assert isinstance(task, Classification)
    return task.classes


def archive(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ((12, 6, 7), (12, 1, 6, 7)),
        ((12, 6, 7, 3), (12, 3, 6, 7)),
        ((12, 6, 7, 1), (12, 1, 6, 7)),
        ((12, 3, 6, 7), (12, 3, 6, 7)),
        ((12, 3, 6, 3), (12, 3, 6, 3)),
        ((12, 4, 6, 7), (12, 4, 6, 7)),
        ((12, 9), (12, 9)),
    ],
)
def test_layouts_become_channels_first(given: tuple[int, ...], stored: tuple[int, ...], tmp_path: Path) -> None:
    """Images come out as [n, channels, height, width], with their pixels where they belong."""
    x = np.random.default_rng(0).integers(0, 256, given, dtype=np.uint8)
    raw = npz.read_file(archive(tmp_path, x=x, y=LABELS))
    assert raw.train.inputs.shape == stored
    assert npz.shape_of(tmp_path / "data.npz") == stored[1:]
    expected = x.transpose(0, 3, 1, 2) if given[-1] in (1, 3) and given[1] not in (1, 3) else x.reshape(stored)
    np.testing.assert_array_equal(raw.train.inputs, expected)


def test_all_splits_are_read(tmp_path: Path) -> None:
    """Training, validation and test arrays become splits of their own."""
    x = np.random.default_rng(0).normal(size=(12, 5))
    parts = {f"x_{name}": x for name in ("train", "validation", "test")}
    raw = npz.read_file(archive(tmp_path, **parts, y_train=LABELS, y_validation=LABELS[:, None], y_test=LABELS))
    assert set(raw.parts) == {"train", "validation", "test"}
    assert raw.train.inputs.dtype == np.float32
    assert class_names(raw, ()) == ("0", "1", "2")
    assert class_names(raw, ("a", "b", "c")) == ("a", "b", "c")


X = np.zeros((12, 4, 4), np.uint8)
NAN = np.full((12, 4), 0.5)
NAN[7, 2] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"holds x\. Valid: x_train and y_train"),
        ({"x_train": X, "y_train": LABELS, "x_test": X}, r"holds x_test without its counterpart"),
        ({"x": X, "y": LABELS[:11]}, r"\[x\] has 12 inputs, .*\[y\] has 11 labels"),
        ({"x": X, "y": LABELS / 2}, r"\[y\]: the labels are float64"),
        ({"x": X, "y": np.eye(3)[LABELS]}, r"\[y\]: the labels are float64 of shape \[12, 3\]"),
        ({"x": X[:0], "y": LABELS[:0]}, r"\[x\] holds no examples"),
        ({"x": NAN, "y": LABELS}, r"\[x\]: input 7 holds nan \(1 such inputs\). Valid: finite"),
        ({"x": NAN[:7] * 1e300, "y": LABELS[:7]}, r"\[x\]: input 0 holds inf"),
        ({"x": X.astype(np.int64) + 300, "y": LABELS}, r"\[x\]: the inputs are int64 and hold 300. Valid: 0..255"),
        ({"x": X.astype(np.int16) - 1, "y": LABELS}, r"hold -1"),
        ({"x": X.astype(str), "y": LABELS}, r"\[x\]: the inputs are <U"),
        ({"x": X.reshape(12, 2, 2, 2, 2), "y": LABELS}, r"\[x\]: the inputs have shape \[12, 2, 2, 2, 2\]"),
        ({"x": X[:, :0], "y": LABELS}, r"no dimension of 0"),
        (
            {"x": np.zeros((12, 4)), "y": np.int64(1)},
            r"\[y\]: the targets are the one value 1. Valid: one for each input",
        ),
        ({"x": np.zeros((0, 4)), "y": LABELS[:0]}, r"\[x\] holds no examples. Valid: at least one"),
    ],
)
def test_arrays_that_do_not_fit(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Arrays that are missing, mismatched or not finite are refused, naming file, array and value."""
    with pytest.raises(DataError, match=message) as caught:
        class_names(npz.read_file(archive(tmp_path, **arrays)), ())
    assert "data.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y_train", "y_test", "classes", "message"),
    [
        (LABELS, LABELS + 1, (), r"\[y_test\]: label 3 of example 2 is outside .*\(4 such labels\). Valid: 0..2"),
        (LABELS - 1, LABELS, (), r"\[y_train\]: label -1 of example 0 is outside"),
        (LABELS + 1, LABELS + 1, (), r"label 3 occurs, but no training example has label 0"),
        (LABELS * 2, LABELS, (), r"label 4 occurs, but no training example has label 1"),
        (LABELS, LABELS, ("a", "b"), r"\[y_train\]: label 2 .* Valid: 0..1, the classes are a, b"),
        (LABELS * 0, LABELS * 0, (), r"every label is 0. Valid: two classes or more"),
    ],
)
def test_labels_outside_of_the_classes(y_train: Any, y_test: Any, classes: Any, message: str, tmp_path: Path) -> None:
    """A label that is no class is refused, naming the array, the example and the valid labels."""
    raw = npz.read_file(archive(tmp_path, x_train=X, y_train=y_train, x_test=X, y_test=y_test))
    with pytest.raises(DataError, match=message):
        class_names(raw, classes)


def test_splits_of_different_shape_or_type(tmp_path: Path) -> None:
    """Test images of another size or type than the training images are refused, naming both."""
    raw = npz.read_file(archive(tmp_path, x_train=X, y_train=LABELS, x_test=X[:, :3], y_test=LABELS))
    with pytest.raises(DataError, match=r"\[x_test\]: the inputs have shape \[1, 3, 4\], .* have \[1, 4, 4\]"):
        class_names(raw, ())
    raw = npz.read_file(archive(tmp_path, x_train=X, y_train=LABELS, x_test=X / 255, y_test=LABELS))
    with pytest.raises(DataError, match=r"inputs are float32, those of .* are uint8"):
        class_names(raw, ())


def test_python_objects_are_not_loaded(tmp_path: Path) -> None:
    """An archive with pickled objects is refused without running them."""
    path = archive(tmp_path, x=np.array([object()] * 12, dtype=object), y=LABELS)
    with pytest.raises(DataError, match="it holds Python objects, which are not loaded"):
        npz.read_file(path)


def test_a_damaged_archive(tmp_path: Path) -> None:
    """A truncated archive, or one with changed bytes, is refused by name."""
    path = archive(tmp_path, x=np.random.default_rng(0).integers(0, 256, (12, 40, 40), dtype=np.uint8), y=LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"data.npz is no .npz archive, or is truncated"):
        npz.read_file(path)
    path.write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    with pytest.raises(DataError, match=r"data.npz can't be read: .*CRC"):
        npz.read_file(path)


def test_a_shape_that_cannot_be_told(tmp_path: Path) -> None:
    """Of what is no archive, or lacks the arrays, no shape is told; reading it says why."""
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    assert npz.shape_of(tmp_path / "damaged.npz") is None
    assert npz.shape_of(tmp_path / "nowhere.npz") is None
    assert npz.shape_of(archive(tmp_path, other=LABELS)) is None
