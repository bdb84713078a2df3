"""Save a model to an artifact and load it back, bit for bit, without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.codec import (
    TensorRecord,
    array_names,
    decode,
    encode_float,
    encode_quantized,
    encode_shared,
    possible_numbers,
)
from paddlepress.artifact.manifest import WEIGHTS, Manifest
from paddlepress.core.errors import ArtifactError, UnknownName, UsageError, in_one_line
from paddlepress.core.files import replacing
from paddlepress.core.manifests import record
from paddlepress.network.model import Model, digest_of
from paddlepress.spec.tensors import Array, Quantized

_LARGEST = 2**24  # of an integer among an architecture's arguments: it makes lists of so many


def save(model: Model, directory: Path) -> Manifest:
    """Write a model artifact; an existing one at that path is replaced once the new one is whole.

    Raises:
        ArtifactError: a quantized weight has left its grid.
    """
    from safetensors.numpy import save as serialized

    records, arrays = _encode(model)
    with replacing(directory) as temporary:
        temporary.mkdir()
        (temporary / WEIGHTS).write_bytes(serialized(arrays))
        manifest = Manifest(
            architecture=model.architecture,
            inputs=model.inputs,
            task=model.task,
            preprocessing=model.preprocessing,
            edits=model.edits,
            lineage=model.lineage,
            digest=model.digest(),
            tensors=records,
            built=model.built,
            files={WEIGHTS: record(temporary / WEIGHTS)},
        )
        manifests.write(manifest, temporary)
    return manifest


def load(directory: Path) -> Model:
    """Load a model artifact.

    Raises:
        ArtifactError: it is missing, damaged, tampered with or newer than this code.
        UnknownName: its architecture is not installed.
    """
    manifest = manifests.read(directory)
    arrays = read_arrays(directory, manifest)
    possible = possible_numbers(manifest.files[WEIGHTS].bytes)
    most = possible if manifest.built is None else min(manifest.built, possible)
    vast = next((value for value in _integers(manifest.architecture.arguments) if abs(value) > _LARGEST), None)
    if vast is not None:
        raise ArtifactError(f"{directory}: no architecture has an argument of {in_one_line(vast, 40)}")
    try:
        model = Model.build(
            manifest.architecture,
            manifest.inputs,
            manifest.task,
            manifest.edits,
            manifest.lineage,
            manifest.preprocessing,
            most,
        )
        _check_shapes(model, manifest)
        tensors = decode_all(manifest, arrays)
        model.load_state({name: value_of(tensor) for name, tensor in tensors.items()})
    except UnknownName:
        raise
    except UsageError as error:
        raise ArtifactError(f"{directory}: {error}") from None
    except Exception as error:  # an architecture is anybody's code, given arguments that may be anybody's
        said = in_one_line(f"{type(error).__name__}: {error}")
        raise ArtifactError(
            f"{directory}: architecture {manifest.architecture.name!r} can't be built: {said}"
        ) from error
    model.scales.update({name: t.scale for name, t in tensors.items() if isinstance(t, Quantized)})
    # Of what was read: an artifact of before version 4 may hold what weight normalization computed a weight from.
    stated = (manifest.architecture, manifest.inputs, manifest.preprocessing, manifest.task, manifest.edits)
    if digest_of(*stated, tensors) != manifest.digest:
        raise ArtifactError(f"{directory}: the weights read are not the weights that were saved")
    return model


def _integers(value: Any) -> Iterator[int]:
    """Every integer in a JSON value."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _integers(inner)


def _check_shapes(model: Model, manifest: Manifest) -> None:
    """Refuse tensors that a network has no place for, before they are decoded.

    Raises:
        ArtifactError: a tensor is stated to have another shape than the network's.
    """
    for name, tensor in model.tensors().items():
        stated = manifest.tensors.get(name)
        if stated is not None and stated.shape != tuple(tensor.shape):
            raise ArtifactError(
                f"{name} has shape {in_one_line(stated.shape)}, the network needs {tuple(tensor.shape)}"
            )


def decode_all(manifest: Manifest, arrays: Mapping[str, Array]) -> dict[str, Array | Quantized]:
    """Decode every tensor of what a weights file holds.

    Raises:
        ArtifactError: the arrays are not those that the manifest describes.
    """
    stored = sum(array.nbytes for array in arrays.values())
    numbers = sum(record.size for record in manifest.tensors.values())
    if numbers > possible_numbers(stored):
        raise ArtifactError(f"{WEIGHTS} of {stored:,} bytes can't hold tensors of {numbers:,} numbers")
    described = {part for name, record in manifest.tensors.items() for part in array_names(name, record)}
    unknown = min(arrays.keys() - described, default=None)
    if unknown is not None:
        raise ArtifactError(f"{WEIGHTS} holds {in_one_line(repr(unknown), 100)}, which belongs to no tensor")
    return {name: decode(name, record, arrays) for name, record in manifest.tensors.items()}


def read_arrays(directory: Path, manifest: Manifest) -> dict[str, Array]:
    """What the weights file of an artifact holds, see `paddlepress.artifact.codec`.

    Raises:
        ArtifactError: it is damaged.
    """
    path = directory / WEIGHTS
    if WEIGHTS not in manifest.files:
        raise ArtifactError(f"{directory / manifests.MANIFEST} is damaged: it does not name {WEIGHTS}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror or error}") from None
    return parse_arrays(data, path)


def parse_arrays(data: bytes, path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file.

    Args:
        data: the file's bytes.
        path: where they came from, for messages.

    Raises:
        ArtifactError: it is damaged.
    """
    from safetensors.numpy import load

    try:
        arrays: dict[str, Array] = load(data)
    except Exception as error:  # it has several of its own for damaged files, and KeyError for types unknown to NumPy
        raise ArtifactError(f"{path} is damaged: {in_one_line(error)}") from None
    return arrays


def header_bytes(data: bytes) -> int:
    """How many bytes at the start of a safetensors file say what it holds: a length of 8 bytes, and JSON."""
    return 8 + int.from_bytes(data[:8], "little")


def value_of(tensor: Array | Quantized) -> Array:
    """The values that a network computes with."""
    return tensor.values() if isinstance(tensor, Quantized) else tensor


def _encode(model: Model) -> tuple[dict[str, TensorRecord], dict[str, Array]]:
    quantized, shared = model.quantized(), model.shared()
    records: dict[str, TensorRecord] = {}
    arrays: dict[str, Array] = {}
    for name, value in model.state().items():
        edit = quantized.get(name)
        if edit is not None and edit.bits < 16:
            records[name], parts = encode_quantized(name, model.codes(name))
        elif name in shared:
            records[name], parts = encode_shared(name, value, shared[name].bits)
        else:
            records[name], parts = encode_float(name, value, edit.format if edit is not None else None)
        arrays.update({key: np.ascontiguousarray(part) for key, part in parts.items()})
    return records, arrays
