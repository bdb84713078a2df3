"""Take artifacts, deployables and data sets apart, and put them together with their checksums made anew."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutants.seeds import Files
from paddlepress.artifact import manifest as artifacts
from paddlepress.artifact import store
from paddlepress.core import gzip_files, json_text, manifests
from paddlepress.data import manifest as data
from paddlepress.deployment import bundle
from paddlepress.network.model import digest_of

WEIGHTS = artifacts.WEIGHTS


@dataclass
class Parts:
    """What an artifact, a deployable or a data set is made of.

    Attributes:
        manifest: what it says of itself.
        weights: the safetensors files, or the NumPy files of a data set, by name.
        graph: of a deployable.
        text: the manifest's text, where it is not to be made of `manifest`.
        packed: a deployable's files as they were.
    """

    manifest: dict[str, Any]
    weights: Files
    graph: bytes = b""
    text: bytes | None = None
    packed: Files = field(default_factory=dict)


def unpack(target: str, files: Files) -> Parts:
    """The parts of a target's files."""
    if target != "deployable":
        name = artifacts.MANIFEST if target == "model" else data.MANIFEST
        weights = {each: content for each, content in files.items() if each != name}
        return Parts(json.loads(files[name]), weights)
    manifest = json.loads(gzip_files.decompress(files[bundle.MANIFEST], json_text.LARGEST))
    weights = gzip_files.decompress(files[bundle.PACKED_WEIGHTS], manifest["model"]["files"][WEIGHTS]["bytes"])
    graph = gzip_files.decompress(files[bundle.GRAPH], manifest["graph_bytes"])
    return Parts(manifest, {WEIGHTS: weights}, graph, packed=files)


def pack(target: str, parts: Parts, level: str) -> Files:
    """The files of changed parts; how much is made anew depends on the level, see `mutants`.

    Where a change makes something that can't be made anew, it stays as it is.
    """
    files = dict(parts.weights)
    manifest, name = parts.manifest, artifacts.MANIFEST if target == "model" else data.MANIFEST
    if target == "deployable":
        name = bundle.MANIFEST
        files = _packed(parts)
        with suppress(Exception):
            manifest["model"]["files"] = _records(manifest["model"]["files"], parts.weights)
            manifest["graph_bytes"] = len(parts.graph)
    if level == "signed":
        with suppress(Exception):
            _sign(target, parts)
    with suppress(Exception):
        manifest["files"] = _records(manifest["files"], files)
    if level != "files" and isinstance(manifest, dict):
        with suppress(Exception):
            manifest[manifests.SEAL] = manifests.seal_of(manifest)
    text = parts.text if parts.text is not None else json.dumps(manifest).encode()
    if parts.text is not None and level != "files":
        with suppress(Exception):
            text = json.dumps(manifests.sealed(json.loads(text))).encode()
    return files | {name: gzip_files.compress(text) if target == "deployable" else text}


def _packed(parts: Parts) -> Files:
    """A deployable's compressed files; those that were not changed as they were."""
    weights, length = parts.weights[WEIGHTS], store.header_bytes(parts.weights[WEIGHTS])
    whole = gzip_files.compress(weights[:length]) + gzip_files.compress(weights[length:], level=0)
    return {bundle.GRAPH: gzip_files.compress(parts.graph), bundle.PACKED_WEIGHTS: whole}


def _records(stated: dict[str, Any], files: Files) -> dict[str, Any]:
    return {
        name: manifests.record_of(files[name]).model_dump() if name in files else said for name, said in stated.items()
    }


def _sign(target: str, parts: Parts) -> None:
    """Make the digests anew."""
    if target == "data":
        content = dict(parts.manifest)
        content.pop(manifests.SEAL, None)
        content["files"] = _records(content["files"], parts.weights)
        parts.manifest["digest"] = data.digest_of(data.DataManifest.model_validate({**content, "digest": "0" * 64}))
        return
    said = parts.manifest.get("model", parts.manifest)
    about = artifacts.Manifest.model_validate({**said, "digest": "0" * 64})
    tensors = store.decode_all(about, store.parse_arrays(parts.weights[WEIGHTS], Path("mutant")))
    said["digest"] = digest_of(about.architecture, about.inputs, about.preprocessing, about.task, about.edits, tensors)
    if target == "deployable":
        whole = bundle.DeployableManifest.model_validate({**parts.manifest, "digest": "0" * 64})
        parts.manifest["digest"] = bundle.digest_of(whole.model, parts.graph, whole.integers, whole.unused)
