"""Deployables of former versions: `graph.onnx`, `weights.safetensors` and `model.json`, as they are.

Their graph carries two digests in its ONNX metadata: the SHA-256 of the `model.json` it was made for, and that of
the graph file itself, taken while the place of that digest holds zeros.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.manifest import MANIFEST, WEIGHTS, Manifest
from paddlepress.core.errors import ArtifactError
from paddlepress.deployment import onnx_file

GRAPH = "graph.onnx"
FILES = (GRAPH, WEIGHTS, MANIFEST)

MADE_FOR = "paddlepress.manifest"
SEAL = "paddlepress.seal"
INTEGERS = "paddlepress.integers"
UNUSED = "paddlepress.unused"

_BLANK = b"0" * 64


def read(directory: Path) -> tuple[Manifest, bytes, tuple[str, ...], tuple[str, ...]]:
    """The manifest, the graph, and the names of what the graph takes as integers and not at all.

    Raises:
        ArtifactError: a file is missing, damaged, or belongs to another model.
    """
    manifest = manifests.read(directory)
    path = directory / GRAPH
    if not path.is_file():
        raise ArtifactError(f"{path} is missing")
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror or error}") from None
    try:
        said = onnx_file.metadata(graph)
        seal = said[SEAL].encode()
        if len(seal) != len(_BLANK):
            raise ValueError(f"a seal of {len(seal)} bytes")
        if hashlib.sha256(graph.replace(seal, _BLANK)).hexdigest().encode() != seal:
            raise ArtifactError(f"{path} does not match its own checksum: damaged or tampered with")
        made_for = said[MADE_FOR]
        integers, unused = (tuple(str(name) for name in json.loads(said[key])) for key in (INTEGERS, UNUSED))
    except (KeyError, ValueError, TypeError, RecursionError):
        raise ArtifactError(f"{path} is damaged: it is no graph that paddlepress exported") from None
    if made_for != hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest():
        raise ArtifactError(f"{path} was made for another model than the {MANIFEST} beside it")
    return manifest, graph, integers, unused
