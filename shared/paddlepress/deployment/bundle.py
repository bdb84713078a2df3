"""The files of a deployable, and the digests that hold them together.

==========================  ========================================================================
``graph.onnx.gz``           the computation; its parameters are external initializers without values
``weights.safetensors.gz``  the artifact's encoded weights: the file's header compressed, the rest as it is
``deployable.json.gz``      what it is: the artifact's manifest, checksums of the other two, a digest
==========================  ========================================================================

`gunzip` makes of each the file that it is named after. Nothing is decompressed beyond a size that was stated and
found possible. A stock ONNX Runtime can't run the graph, compressed or not: the place where it looks for the
parameters does not exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from paddlepress.artifact import manifest as artifacts
from paddlepress.artifact import store
from paddlepress.artifact.manifest import WEIGHTS, Manifest
from paddlepress.core import gzip_files, json_text, manifests
from paddlepress.core.errors import ArtifactError, UsageError, in_one_line
from paddlepress.core.manifests import CheckedManifest, Sha256
from paddlepress.deployment import older_bundles
from paddlepress.spec.tensors import Array

FORMAT_VERSION = 1
GRAPH = "graph.onnx.gz"
PACKED_WEIGHTS = "weights.safetensors.gz"
MANIFEST = "deployable.json.gz"
FILES = (GRAPH, PACKED_WEIGHTS, MANIFEST)

NOWHERE = "paddlepress decodes these weights: see paddlepress.deployment.predictor"
"""Where the graph says that its parameters are: no file of that name exists."""

# What stands for a quantized weight's integers and scales among the graph's initializers.
CODES = ":codes"
SCALE = ":scale"

_LARGEST_GRAPH = 2**31  # no protobuf message can be larger
_GRAPH_RATIO = 1100  # what deflate makes of its input at the most, rounded up


class DeployableManifest(CheckedManifest):
    """What a deployable is.

    Attributes:
        model: the artifact's manifest, without its seal.
        graph_bytes: size of the graph when decompressed.
        integers: the weights that the graph takes as `NAME:codes` and `NAME:scale`.
        unused: the artifact's tensors that the graph does not take.
        digest: SHA-256 of the model's digest and the graph, see `digest_of`.
    """

    kind: ClassVar[str] = "deployable"
    error: ClassVar[type[UsageError]] = ArtifactError
    newest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = 1

    format_version: int = FORMAT_VERSION
    model: Manifest
    graph_bytes: int = Field(ge=0, le=_LARGEST_GRAPH)
    integers: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    digest: Sha256


@dataclass(frozen=True)
class Bundle:
    """A deployable whose checksums were found right; its weights are still encoded.

    Attributes:
        manifest: of the model's artifact.
        graph: an ONNX file.
        arrays: what the weights file holds, see `paddlepress.artifact.codec`.
        integers, unused: as in `DeployableManifest`.
    """

    manifest: Manifest
    graph: bytes
    arrays: Mapping[str, Array]
    integers: tuple[str, ...]
    unused: tuple[str, ...]


def write(
    directory: Path, artifact: Path, graph: bytes, integers: tuple[str, ...] = (), unused: tuple[str, ...] = ()
) -> None:
    """Write a deployable's files into an existing directory.

    Args:
        directory: where to.
        artifact: of the model; its weights are taken over unchanged.
        graph: the ONNX file.
        integers, unused: as in `DeployableManifest`.
    """
    manifest = artifacts.read(artifact)
    weights = (artifact / WEIGHTS).read_bytes()
    start = store.header_bytes(weights)
    (directory / PACKED_WEIGHTS).write_bytes(
        gzip_files.compress(weights[:start]) + gzip_files.compress(weights[start:], level=0)
    )
    (directory / GRAPH).write_bytes(gzip_files.compress(graph))
    model = artifacts.content_of(manifest)
    del model[manifests.SEAL]  # it is within this manifest's own
    content = {
        "format_version": FORMAT_VERSION,
        "files": {name: manifests.record(directory / name).model_dump() for name in (GRAPH, PACKED_WEIGHTS)},
        "model": model,
        "graph_bytes": len(graph),
        "integers": list(integers),
        "unused": list(unused),
        "digest": digest_of(manifest, graph, integers, unused),
    }
    text = json.dumps(manifests.sealed(content), separators=(",", ":"), allow_nan=False)
    (directory / MANIFEST).write_bytes(gzip_files.compress(text.encode()))


def digest_of(manifest: Manifest, graph: bytes, integers: tuple[str, ...], unused: tuple[str, ...]) -> str:
    """SHA-256 of what is computed: the model, and the graph that computes it."""
    sha = hashlib.sha256(json.dumps([manifest.digest, integers, unused]).encode())
    sha.update(graph)
    return sha.hexdigest()


def read(directory: Path) -> Bundle:
    """Read a deployable and check everything in it but the weights' values, which nobody has decoded yet.

    Raises:
        ArtifactError: a file is missing, damaged, or belongs to another model.
    """
    if _is_older(directory):
        manifest, graph, integers, unused = older_bundles.read(directory)
        return Bundle(manifest, graph, store.read_arrays(directory, manifest), integers, unused)
    stated = _read_manifest(directory)
    path = directory / GRAPH
    if stated.graph_bytes > _GRAPH_RATIO * stated.files[GRAPH].bytes:
        raise ArtifactError(f"{path} can't hold the {stated.graph_bytes:,} bytes that {MANIFEST} states")
    graph = _decompressed(path, stated.graph_bytes)
    if digest_of(stated.model, graph, stated.integers, stated.unused) != stated.digest:
        raise ArtifactError(f"{path} is not the graph that was exported, or not that of this model")
    path, weights = directory / PACKED_WEIGHTS, stated.model.files.get(WEIGHTS)
    if weights is None:
        raise ArtifactError(f"{directory / MANIFEST} is damaged: it does not name {WEIGHTS}")
    if weights.bytes > stated.files[PACKED_WEIGHTS].bytes + json_text.LARGEST:  # only the header is compressed
        raise ArtifactError(f"{path} can't hold the {weights.bytes:,} bytes that {MANIFEST} states")
    data = _decompressed(path, weights.bytes)
    if manifests.record_of(data) != weights:
        raise ArtifactError(f"{path} does not hold the weights that {MANIFEST} has the checksum of")
    return Bundle(stated.model, graph, store.parse_arrays(data, path), stated.integers, stated.unused)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the model that a deployable was made of, every file of it checked.

    Raises:
        ArtifactError: a file is missing, damaged, or belongs to another model.
    """
    return artifacts.read(directory) if _is_older(directory) else _read_manifest(directory).model


def read_digest(directory: Path) -> str:
    """The digest of a deployable of this version, every file of it checked.

    Raises:
        ArtifactError: a file is missing, damaged, or belongs to another model.
    """
    return _read_manifest(directory).digest


def is_deployable(directory: Path) -> bool:
    """Whether a directory is a deployable of this version, and not a model artifact."""
    return (directory / MANIFEST).exists()


def files(directory: Path) -> tuple[str, ...]:
    """The names of a deployable's files."""
    return older_bundles.FILES if _is_older(directory) else FILES


def _is_older(directory: Path) -> bool:
    return (directory / older_bundles.GRAPH).exists() and not is_deployable(directory)


def _read_manifest(directory: Path) -> DeployableManifest:
    path = directory / MANIFEST
    packed = manifests.read_bytes(path, DeployableManifest)
    try:
        text = gzip_files.decompress(packed, json_text.LARGEST)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {in_one_line(error)}") from None
    stated = manifests.parse(text, path, DeployableManifest)
    if set(stated.files) != {GRAPH, PACKED_WEIGHTS}:
        raise ArtifactError(f"{path} is damaged: it does not name {GRAPH} and {PACKED_WEIGHTS}")
    manifests.check_files(path, stated)
    return stated


def _decompressed(path: Path, size: int) -> bytes:
    """The bytes of a compressed file, which must be as many as stated."""
    try:
        data = gzip_files.decompress(path.read_bytes(), size)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {in_one_line(error)}") from None
    if len(data) != size:
        raise ArtifactError(f"{path} holds {len(data):,} bytes when decompressed, {MANIFEST} says {size:,}")
    return data
