"""IDX files: exactly the format, and clear words for anything else."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.data.sources import idx
from paddlepress.data.sources.idx import Idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encoded(array: np.ndarray[Any, Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def folder(path: Path, train: int = 20, test: int = 10) -> Path:
    path.mkdir(exist_ok=True)
    for name, count in (("train", train), ("t10k", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 4, 5), dtype=np.uint8)
        targets = (np.arange(count) % 2).astype(np.uint8)
        (path / f"{name}-images-idx3-ubyte").write_bytes(encoded(images))
        (path / f"{name}-labels-idx1-ubyte").write_bytes(encoded(targets))
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), zipped=st.booleans())
def test_any_array_comes_back(data: st.DataObject, zipped: bool, tmp_path: Path) -> None:
    """Every element type, rank and shape is read back exactly, gzipped or not."""
    kind = data.draw(st.sampled_from(sorted(CODES)))
    array = data.draw(nps.arrays(kind, nps.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
    content = encoded(array)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    read_back = idx.read_file(path)
    assert read_back.dtype == array.dtype
    np.testing.assert_array_equal(read_back, array)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.integers(min_value=-60, max_value=60).filter(bool), zipped=st.booleans())
def test_a_file_of_the_wrong_length_is_refused(change: int, zipped: bool, tmp_path: Path) -> None:
    """A file cut anywhere, or with bytes to spare, is refused by name."""
    content = encoded(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    content = content[:change] if change < 0 else content + bytes(change)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=r"file is (truncated|damaged).* bytes"):
        idx.read_file(path)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\x89PNG....", b"\0\0\x07\x01\0\0\0\0", b"\0\0\x08\0"])
def test_a_file_of_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    """What does not start as IDX does is refused, saying what it starts with."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=r"file is no IDX file: .* Valid: "):
        idx.read_file(tmp_path / "file")


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    """A gzip file that breaks off is refused by name."""
    (tmp_path / "file").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(DataError, match=r"file is damaged: it can't be decompressed"):
        idx.read_file(tmp_path / "file")


def test_a_folder_of_idx_files(tmp_path: Path) -> None:
    """A folder with training and test files is read as images with one channel and their labels."""
    raw = Idx(path=str(folder(tmp_path / "data"))).read(tmp_path, Silent())
    assert raw.train.inputs.shape == (20, 1, 4, 5) and raw.train.inputs.dtype == np.uint8
    assert raw.test is not None and len(raw.test) == 10


def test_other_spellings_of_the_names(tmp_path: Path) -> None:
    """`.idx3-ubyte.gz` and `test-` are read too."""
    data = folder(tmp_path / "data")
    for path in list(data.iterdir()):
        name = path.name.replace("t10k", "test").replace("-idx", ".idx")
        (data / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    raw = idx.read_folder(data, "idx")
    assert len(raw.train) == 20 and raw.test is not None and len(raw.test) == 10


def test_counts_that_differ(tmp_path: Path) -> None:
    """More images than labels are refused, naming both files and both counts."""
    data = folder(tmp_path / "data")
    (data / "train-labels-idx1-ubyte").write_bytes(encoded(np.zeros(19, np.uint8)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte has 20 inputs, .*train-labels-idx1-ubyte has 19"):
        idx.read_folder(data, "idx")


def test_files_that_are_missing(tmp_path: Path) -> None:
    """A folder without training files, or with images but no labels, is refused, saying what is there."""
    with pytest.raises(DataError, match=r"absent: it does not exist"):
        Idx(path=str(tmp_path / "absent")).read(tmp_path, Silent())
    data = folder(tmp_path / "data")
    (data / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no t10k-labels-idx1-ubyte\[.gz\]"):
        idx.read_folder(data, "idx")
    (data / "train-images-idx3-ubyte").unlink()
    (data / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte\[.gz\]. It has: t10k-images-idx3-ubyte"):
        idx.read_folder(data, "idx")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is no folder"):
        idx.read_folder(data / "t10k-images-idx3-ubyte", "idx")


def test_images_of_the_wrong_rank(tmp_path: Path) -> None:
    """An image file that holds a list of numbers is refused with its shape."""
    data = folder(tmp_path / "data")
    (data / "train-images-idx3-ubyte").write_bytes(encoded(np.zeros(20, np.uint8)))
    with pytest.raises(DataError, match=r"has shape \[20\]. Valid: images of shape"):
        idx.read_folder(data, "idx")
