"""The `mnist.pkl.gz` that many tutorials use, read without running what a pickle may ask for."""

from __future__ import annotations

import gzip
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core import pickled_arrays
from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples, Raw


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
        pairs = pickled_arrays.read(content)
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
    return Examples.of(_pixels(images, origin).reshape(-1, 28, 28), labels, origin)


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
