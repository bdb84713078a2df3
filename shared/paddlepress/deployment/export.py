"""Write a model as a deployable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.manifest import MANIFEST, WEIGHTS, Manifest
from paddlepress.deployment import bundle, integers
from paddlepress.deployment.graph import Graph, drop_unused, simplify
from paddlepress.deployment.trace import onnx_graph
from paddlepress.errors import ArtifactError
from paddlepress.files import replacing, sha256_of
from paddlepress.model import Model


def export(model: Model, artifact: Path, directory: Path) -> None:
    """Write the deployable of a model: graph without weights, encoded weights, manifest.

    Args:
        model: the model in memory.
        artifact: the artifact that it was saved as; its files are taken over unchanged.
        directory: where the deployable goes; an existing one is replaced once the new one is whole.

    Raises:
        ArtifactError: the artifact is damaged, or holds another model.
        TechniqueRefused: the network has an operator that ONNX does not know.
    """
    manifest = manifests.read(artifact)
    if manifest.digest != model.digest():
        raise ArtifactError(f"{artifact} holds another model than the one to export")
    graph = sealed_graph(model, manifest, sha256_of(artifact / MANIFEST))
    with replacing(directory) as temporary:
        temporary.mkdir()
        (temporary / bundle.GRAPH).write_bytes(graph)
        for name in (WEIGHTS, MANIFEST):
            shutil.copyfile(artifact / name, temporary / name)


def sealed_graph(model: Model, manifest: Manifest, manifest_digest: str) -> bytes:
    """The bytes of `graph.onnx`.

    Args:
        model: the model.
        manifest: that of its artifact.
        manifest_digest: SHA-256 of the artifact's `model.json`.
    """
    from onnx import helper

    proto, names = onnx_graph(model)
    graph = Graph(proto)
    simplify(graph)
    _check_parameters(graph, names, model)
    graph.rename(names)
    as_integers = integers.insert(graph, model.quantized(), model.quantized_outputs())
    drop_unused(graph)
    used = _externalize(graph, manifest, as_integers)
    proto.producer_name, proto.producer_version = "paddlepress", ""
    helper.set_model_props(
        proto,
        {
            bundle.MADE_FOR: manifest_digest,
            bundle.SEAL: bundle.BLANK,
            bundle.INTEGERS: json.dumps(sorted(as_integers)),
            bundle.UNUSED: json.dumps(sorted(set(manifest.tensors) - used)),
        },
    )
    return bundle.seal(proto.SerializeToString(deterministic=True))


def _check_parameters(graph: Graph, names: dict[str, str], model: Model) -> None:
    """Leave a constant in the graph, under its own name, where it is not the parameter that it is named after."""
    state = model.state()
    for own, name in list(names.items()):
        value = graph.values.get(own)
        if value is not None and (value.dtype != state[name].dtype or not np.array_equal(value, state[name])):
            del names[own]


def _externalize(graph: Graph, manifest: Manifest, as_integers: frozenset[str]) -> set[str]:
    """Write the graph's constants back, those of the artifact without their values.

    Returns:
        The artifact's tensors that the graph uses.
    """
    from onnx import TensorProto, helper, numpy_helper

    def external(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=WEIGHTS)
        return tensor

    used: set[str] = set()
    tensors = []
    for name, value in graph.values.items():
        if name in manifest.tensors:
            used.add(name)
            dtype = helper.np_dtype_to_tensor_dtype(value.dtype)
            tensors.append(external(name, dtype, value.shape))
        else:
            tensors.append(numpy_helper.from_array(value, name))
    for name in sorted(as_integers):
        used.add(name)
        record = manifest.tensors[name]
        scales = () if record.axis is None else (record.shape[record.axis],)
        tensors.append(external(name + bundle.CODES, TensorProto.INT8, record.shape))
        tensors.append(external(name + bundle.SCALE, TensorProto.FLOAT, scales))
    graph.finish()
    del graph.proto.initializer[:]
    graph.proto.initializer.extend(tensors)
    return used
