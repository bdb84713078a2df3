"""The files of a deployable, and the seals that hold them together.

========================  ==========================================================================
``graph.onnx``            the computation; its parameters are external initializers without values
``weights.safetensors``   the artifact's encoded weights, unchanged
``model.json``            the artifact's manifest, unchanged; it has the weights' checksum
========================  ==========================================================================

The graph carries two digests in its ONNX metadata: the SHA-256 of the `model.json` it was made for, so
that it is never run with other weights, and the SHA-256 of the graph file itself, taken while the place
of that digest holds zeros. Both are read from the file's bytes, without an ONNX library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from paddlepress.artifact.manifest import MANIFEST, WEIGHTS
from paddlepress.errors import ArtifactError

GRAPH = "graph.onnx"
FILES = (GRAPH, WEIGHTS, MANIFEST)

# Keys of the graph's metadata.
MADE_FOR = "paddlepress.manifest"
SEAL = "paddlepress.seal"
INTEGERS = "paddlepress.integers"
"""JSON list of the weights that the graph takes as `NAME:codes` and `NAME:scale`."""
UNUSED = "paddlepress.unused"
"""JSON list of the artifact's tensors that the graph does not take."""

# What stands for a quantized weight's integers and scales among the graph's initializers.
CODES = ":codes"
SCALE = ":scale"

BLANK = "0" * 64

_METADATA_FIELD = 14  # onnx.proto3: ModelProto.metadata_props


def seal(graph: bytes) -> bytes:
    """Write a graph file's own digest into the place that its metadata keep blank for it."""
    start, end = _metadata(graph)[SEAL]
    digest = hashlib.sha256(graph).hexdigest().encode()
    return graph[:start] + digest + graph[end:]


def check(graph: bytes, path: Path, manifest_digest: str) -> dict[str, str]:
    """Check that a graph file is whole and was made for a certain manifest.

    Args:
        graph: the file's bytes.
        path: where they came from, for messages.
        manifest_digest: SHA-256 of the `model.json` beside it.

    Returns:
        The graph's metadata.

    Raises:
        ArtifactError: it is damaged, or was made for another model.
    """
    try:
        places = _metadata(graph)
        start, end = places[SEAL]
        stated = graph[start:end].decode()
        blank = graph[:start] + BLANK.encode() + graph[end:]
        if hashlib.sha256(blank).hexdigest() != stated:
            raise ArtifactError(f"{path} does not match its own checksum: damaged or tampered with")
        metadata = {key: graph[start:end].decode() for key, (start, end) in places.items()}
        made_for = metadata[MADE_FOR]
    except (IndexError, KeyError, ValueError):
        raise ArtifactError(f"{path} is damaged: it is no graph that paddlepress exported") from None
    if made_for != manifest_digest:
        raise ArtifactError(f"{path} was made for another model than the {MANIFEST} beside it")
    return metadata


def _metadata(graph: bytes) -> dict[str, tuple[int, int]]:
    """Where in an ONNX file the value of each metadata entry begins and ends."""
    places: dict[str, tuple[int, int]] = {}
    for field, start, end in _fields(graph, 0, len(graph)):
        if field == _METADATA_FIELD:
            entry = {key: (first, last) for key, first, last in _fields(graph, start, end)}
            (key_start, key_end), value = entry[1], entry[2]
            places[graph[key_start:key_end].decode()] = value
    return places


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of a protobuf message that is a string, bytes or a message.

    Raises:
        ValueError: the bytes are no protobuf message of integers and such fields.
        IndexError: they end too early.
    """
    while start < end:
        tag, start = _integer(data, start)
        if tag & 7 == 0:
            _, start = _integer(data, start)
        elif tag & 7 == 2:
            size, start = _integer(data, start)
            if start + size > end:
                raise ValueError("a field reaches past its message")
            yield tag >> 3, start, start + size
            start += size
        else:
            raise ValueError(f"an unexpected wire type {tag & 7}")


def _integer(data: bytes, start: int) -> tuple[int, int]:
    """A base-128 integer, and where it ends."""
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, start
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
