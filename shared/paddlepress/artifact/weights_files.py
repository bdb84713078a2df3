"""Weights that others saved, by name: `.pdparams` of Paddle, `.safetensors`, and NumPy's `.npz`.

None of them is unpickled: a `.pdparams` is a pickle, of which `paddlepress.core.pickled_arrays` reads the arrays and
refuses everything else.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact.manifest import MANIFEST, WEIGHTS
from paddlepress.artifact.store import parse_arrays
from paddlepress.core import pickled_arrays
from paddlepress.core.errors import ArtifactError, in_one_line, shown
from paddlepress.spec.tensors import Array

_PARAMETER_NAMES = "StructuredToParameterName@@"
"""Under which `paddle.save` adds the names that parameters have in Paddle's programs."""
_VALID = "Valid: what paddle.save(network.state_dict(), FILE) writes"


def read(path: Path) -> dict[str, Array]:
    """The arrays of a weights file, or of a folder that holds one, or several `.safetensors` with parts of a network.

    Raises:
        ArtifactError: there is none, it is damaged, or it holds anything but arrays.
    """
    weights: dict[str, Array] = {}
    for file in _files(path):
        try:
            found = _READERS[file.suffix](file)
        except OSError as error:
            raise ArtifactError(f"{file} can't be read: {error.strerror or error}") from None
        twice = next(iter(weights.keys() & found.keys()), None)
        if twice is not None:
            raise ArtifactError(f"{path} holds {shown(twice)} in several files")
        weights |= found
    return weights


def _files(path: Path) -> list[Path]:
    formats = ", ".join(_READERS)
    if path.is_file():
        if path.suffix not in _READERS:
            raise ArtifactError(f"{path} is no weights file. Valid: {formats}, or a folder with one")
        return [path]
    if not path.is_dir():
        raise ArtifactError(f"{path} does not exist")
    if (path / MANIFEST).is_file() and (path / WEIGHTS).is_file():
        raise ArtifactError(f"{path} is a model artifact already: a recipe takes it as base: {{artifact: {path}}}")
    found = sorted(file for file in path.iterdir() if file.suffix in _READERS)
    if not found:
        raise ArtifactError(f"{path} holds no weights file. Valid: one of {formats}")
    if len(found) > 1 and {file.suffix for file in found} != {".safetensors"}:
        names = in_one_line(", ".join(file.name for file in found), 200)
        raise ArtifactError(f"{path} holds several weights files ({names}); name one of them")
    return found


def _of_paddle(path: Path) -> dict[str, Array]:
    try:
        content = pickled_arrays.read(path.read_bytes())
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise ArtifactError(f"{path} is refused: {in_one_line(error)}") from None
    except Exception as error:  # a damaged pickle can make the reader raise nearly anything
        raise ArtifactError(f"{path} is damaged: {in_one_line(error or type(error).__name__)}") from None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} holds a {type(content).__name__}. {_VALID}")
    weights = {}
    for name, value in content.items():
        if name == _PARAMETER_NAMES:
            continue
        if not isinstance(name, str) or not isinstance(value, pickled_arrays.PickledArray):
            raise ArtifactError(f"{path} holds a {type(value).__name__} under {shown(name)}. {_VALID}")
        try:
            weights[name] = value.value()
        except Exception as error:  # a forged array may state anything
            raise ArtifactError(f"{path}: {shown(name)} is damaged: {in_one_line(error)}") from None
    return weights


def _of_safetensors(path: Path) -> dict[str, Array]:
    return parse_arrays(path.read_bytes(), path)


def _of_numpy(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, MemoryError, AttributeError, zlib.error, zipfile.BadZipFile) as error:
        reason: Any = "it holds Python objects, which are not loaded" if "allow_pickle" in str(error) else error
        raise ArtifactError(f"{path} can't be read: {in_one_line(reason)}") from None


_READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    ".pdparams": _of_paddle,
    ".safetensors": _of_safetensors,
    ".npz": _of_numpy,
}
