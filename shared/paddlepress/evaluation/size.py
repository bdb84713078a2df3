"""Bytes, parameters and zeros, counted from the files that are deployed. Needs no Paddle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.codec import TensorRecord
from paddlepress.artifact.manifest import Manifest
from paddlepress.artifact.store import decode_all, read_arrays
from paddlepress.core.errors import ArtifactError
from paddlepress.deployment import bundle
from paddlepress.spec.tensors import Array, Quantized

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LayerRow:
    """One parameter or buffer as it is stored.

    Attributes:
        layer: name of the layer it belongs to.
        parameter: its name within the layer, such as `weight`.
        shape: of the tensor that a network gets.
        parameters: how many numbers it has.
        sparsity: share of them that are zero, 0 to 1.
        bits: of each stored number before entropy coding: 32 or 16 for floats, for codes as many as tell
            those apart that occur.
        encoding: `raw`, `sparse`, `coded`, `packed` or `shared`.
        bytes: what its arrays take in the weights file.
    """

    layer: str
    parameter: str
    shape: tuple[int, ...]
    parameters: int
    sparsity: float
    bits: int
    encoding: str
    bytes: int


def layers(artifact: Path) -> list[LayerRow]:
    """How each tensor of an artifact or a deployable is stored, in the file's order.

    Raises:
        ArtifactError: the artifact is missing or damaged.
    """
    manifest, arrays = _opened(artifact)
    stored: dict[str, int] = defaultdict(int)
    for key, array in arrays.items():
        stored[key.partition(":")[0]] += array.nbytes
    rows = []
    for name, tensor in decode_all(manifest, arrays).items():
        record = manifest.tensors[name]
        numbers = tensor.codes if isinstance(tensor, Quantized) else tensor
        layer, _, parameter = name.rpartition(".")
        rows.append(
            LayerRow(
                layer=layer,
                parameter=parameter,
                shape=record.shape,
                parameters=numbers.size,
                sparsity=_share_zero(numbers.size, int(np.count_nonzero(numbers))),
                bits=_bits(record, numbers),
                encoding=record.encoding,
                bytes=stored[name],
            )
        )
    return rows


@dataclass(frozen=True)
class Counts:
    """What a model is made of.

    Attributes:
        parameters: numbers in all parameters and buffers.
        nonzeros: those that are not zero.
        sparsity: share of zeros among weights (tensors of two dimensions or more), 0 to 1.
    """

    parameters: int
    nonzeros: int
    sparsity: float


def count(directory: Path) -> Counts:
    """Count the numbers of an artifact or a deployable.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    parameters = nonzeros = weights = nonzero_weights = 0
    for tensor in decode_all(*_opened(directory)).values():
        numbers = tensor.codes if isinstance(tensor, Quantized) else tensor
        present = int(np.count_nonzero(numbers))
        parameters += numbers.size
        nonzeros += present
        if numbers.ndim >= 2:
            weights += numbers.size
            nonzero_weights += present
    return Counts(parameters, nonzeros, _share_zero(weights, nonzero_weights))


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an artifact or a deployable, every file checked.

    Raises:
        ArtifactError: one is missing or damaged.
    """
    return bundle.read_manifest(directory) if bundle.is_deployable(directory) else manifests.read(directory)


def parameters(manifest: Manifest) -> int:
    """How many numbers all parameters and buffers of a model have."""
    return sum(int(np.prod(record.shape, dtype=np.int64)) for record in manifest.tensors.values())


def file_bytes(directory: Path) -> dict[str, int]:
    """Bytes of each file of a deployable.

    Raises:
        ArtifactError: one is missing.
    """
    sizes = {}
    for name in bundle.files(directory):
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing")
        sizes[name] = path.stat().st_size
    return sizes


def disk_bytes(directory: Path) -> int:
    """Bytes of all files of an artifact or a deployable.

    Raises:
        ArtifactError: one is missing or damaged.
    """
    if bundle.is_deployable(directory):
        return sum(file_bytes(directory).values())
    stated = manifests.read(directory).files
    return sum(file.bytes for file in stated.values()) + (directory / manifests.MANIFEST).stat().st_size


def ratio(base: Manifest, deployed: int) -> float:
    """How many times smaller than the base model's weights as float32 something deployed is.

    Args:
        base: manifest of the base model.
        deployed: bytes of all files.
    """
    return FLOAT32_BYTES * parameters(base) / deployed


def _opened(directory: Path) -> tuple[Manifest, Mapping[str, Array]]:
    """The manifest and the encoded weights of an artifact or a deployable."""
    if bundle.is_deployable(directory):
        found = bundle.read(directory)
        return found.manifest, found.arrays
    manifest = manifests.read(directory)
    return manifest, read_arrays(directory, manifest)


def _bits(record: TensorRecord, numbers: Array) -> int:
    if record.encoding in {"coded", "packed", "shared"}:
        return max(1, int(np.unique(numbers).size - 1).bit_length())
    return 8 * np.dtype(record.stored or record.dtype).itemsize


def _share_zero(size: int, nonzeros: int) -> float:
    return 1 - nonzeros / size if size else 0.0
