"""The `mnist.pkl.gz` that many tutorials use, read without running what a pickle may ask for.

A pickle is a program. This reader admits what NumPy writes for an array and nothing else, and even
that calls no NumPy code while the pickle is read: the names stand for records, which are turned into
arrays of a few plain types afterwards.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples, Raw, examples

PLAIN_TYPES = {"f4", "f8", "u1", "i1", "i2", "i4", "i8"}


class _ArrayType:
    """Stands for `numpy.ndarray`, which the pickle only names."""


class _Dtype:
    """Stands for `numpy.dtype`: type code and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("latin1") if isinstance(order, bytes) else order

    def value(self) -> np.dtype[Any]:
        if self.code not in PLAIN_TYPES or self.order not in ("<", ">", "=", "|"):
            raise ValueError(f"it holds an array of type {self.order}{self.code}")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """Stands for an array: shape, type and bytes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def value(self) -> NDArray[Any]:
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("an array's type is no type")
        content = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        flat = np.frombuffer(content, self.dtype.value())
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _reconstruct(*_: object) -> _Array:
    """What NumPy starts an array with; its state follows."""
    return _Array()


def _frombuffer(content: object, dtype: object, shape: object, order: object) -> _Array:
    """What NumPy writes an array as since pickle protocol 5."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


def _encode(text: str, encoding: object) -> bytes:
    """What today's Python writes bytes as in old protocols."""
    return text.encode("latin1")


class _Reader(pickle.Unpickler):
    admitted = {
        ("numpy", "ndarray"): _ArrayType,
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.admitted[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs") from None


def read_pickle(path: Path) -> Raw:
    """Read a gzipped pickle of three pairs (images [n, 784], labels [n]): training, validation, test.

    Raises:
        DataError: it is damaged, of another form, or asks for anything but arrays.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is no gzip file or is damaged: {error}") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from None
    try:
        pairs = _Reader(io.BytesIO(content), encoding="bytes").load()
        train, validation, test = ((images.value(), labels.value()) for images, labels in pairs)
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is refused: {error}") from None
    except Exception as error:  # a damaged pickle can make the reader raise nearly anything
        raise DataError(f"{path} is no MNIST pickle: {error or type(error).__name__}") from None
    return Raw(
        "mnist",
        _images(train, f"{path}[training]"),
        _images(validation, f"{path}[validation]"),
        _images(test, f"{path}[test]"),
    )


def _images(pair: tuple[NDArray[Any], NDArray[Any]], origin: str) -> Examples:
    images, labels = pair
    if images.ndim != 2 or images.shape[1] != 784:
        raise DataError(f"{origin}: the images have shape {list(images.shape)}. Valid: [n, 784]")
    return examples(_pixels(images, origin).reshape(-1, 28, 28), labels, origin)


def _pixels(images: NDArray[Any], origin: str) -> NDArray[np.uint8]:
    """The bytes that the floats in 0..1 were made from: by 256 in the usual file, by 255 in others."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind == "f" and images.size and images.min() >= 0 and images.max() <= 1:
        for scale in (256, 255):
            scaled = images * np.float32(scale)
            pixels = np.minimum(np.rint(scaled), 255).astype(np.uint8)
            if np.abs(scaled - pixels).max() < 1e-3:
                return pixels
    raise DataError(f"{origin}: the images are not bytes divided by 256 or 255")
