"""Write a model as a deployable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.manifest import Manifest
from paddlepress.core.errors import ArtifactError
from paddlepress.core.files import replacing
from paddlepress.deployment import bundle, integers
from paddlepress.deployment.conversion import onnx_graph
from paddlepress.deployment.graph import Graph, drop_unused, simplify
from paddlepress.deployment.predictor import Predictor
from paddlepress.deployment.verification import Run, run_graph, verify
from paddlepress.network.model import Model
from paddlepress.spec.tensors import Inputs


def export(model: Model, artifact: Path, directory: Path, inputs: Inputs | None = None) -> None:
    """Write the deployable of a model: graph without weights, encoded weights, manifest.

    The finished deployable is loaded and compared with the network before it is kept.

    Args:
        model: the model in memory.
        artifact: the artifact that it was saved as; its files are taken over unchanged.
        directory: where the deployable goes; an existing one is replaced once the new one is whole.
        inputs: what to compare with, as the network takes it; see `verification.verify`.

    Raises:
        ArtifactError: the artifact is damaged, or holds another model.
        TechniqueRefused: the network has an operator that can't be converted, or the graph computes something else;
            the message names the operator or the layer.
    """
    manifest = manifests.read(artifact)
    if manifest.digest != model.digest():
        raise ArtifactError(f"{artifact} holds another model than the one to export")
    graph, as_integers, used = graph_of(model, manifest)
    unused = set(manifest.tensors) - used
    with replacing(directory) as temporary:
        temporary.mkdir()
        bundle.write(temporary, artifact, graph, tuple(sorted(as_integers)), tuple(sorted(unused)))
        verify(model, _deployed(temporary), inputs, lambda differs: _first_wrong_integers(model, differs))


def check_exportable(model: Model) -> None:
    """Refuse a network whose graph can't be made or computes something else, before anything is spent on it.

    Weights that are all alike, as many are in a network that was not trained, are given other values in a copy: a bias
    of zeros that gets lost would not be missed. What is drawn from Paddle's random numbers afterwards stays the same.

    Raises:
        TechniqueRefused: as `export`.
    """
    import paddle

    state = paddle.get_rng_state()
    try:
        _check_exportable(model.copy())
    finally:
        paddle.set_rng_state(state)


def _check_exportable(twin: Model) -> None:
    random = np.random.default_rng(0)
    for tensor in twin.tensors().values():
        value = np.asarray(tensor.numpy())
        if np.issubdtype(value.dtype, np.floating) and value.size > 1 and np.all(value == value.flat[0]):
            tensor.set_value(value + np.abs(random.normal(0, 0.1, value.shape)).astype(value.dtype))
    proto, _ = onnx_graph(twin)
    graph = Graph(proto)
    simplify(graph)
    graph.write_values()
    verify(twin, run_graph(proto))


def _deployed(directory: Path) -> Run:
    """What a deployable computes, of inputs as the network takes them."""
    return Predictor.load(directory).run


def graph_of(model: Model, manifest: Manifest) -> tuple[bytes, frozenset[str], set[str]]:
    """A model as an ONNX file without its weights.

    Args:
        model: the model.
        manifest: that of its artifact.

    Returns:
        The file's bytes, the weights that it takes as integers, and all of the artifact's tensors that it takes.
    """
    proto, graph = _float_graph(model)
    as_integers = integers.insert(graph, model.quantized(), model.quantized_outputs())
    drop_unused(graph)
    used = _externalize(graph, manifest, as_integers)
    proto.producer_name, proto.producer_version = "paddlepress", ""
    return proto.SerializeToString(deterministic=True), as_integers, used


def _float_graph(model: Model) -> tuple[Any, Graph]:
    """A model as an `onnx.ModelProto`, and its graph, whose parameters have their structured names."""
    proto, names = onnx_graph(model)
    graph = Graph(proto)
    simplify(graph)
    _check_parameters(graph, names, model)
    graph.rename(names)
    return proto, graph


def _first_wrong_integers(model: Model, differs: Callable[[Run], bool]) -> str:
    """The layer from which on integers make a model's graph compute something else, in words.

    Args:
        model: a quantized model; the graph of one that is not has no integers.
        differs: whether a graph computes something else than the model.

    Returns:
        Empty if no layer's integers do.
    """
    proto, whole = _float_graph(model)
    quantized = model.quantized()
    products = sum(not quantized.keys().isdisjoint(node.input) for node in whole.nodes)

    def integers_of(count: int) -> frozenset[str]:
        graph = whole.copy()
        made = integers.insert(graph, quantized, model.quantized_outputs(), count)
        for name in made:
            tensor = model.codes(name)
            graph.values[name + bundle.CODES] = tensor.codes
            graph.values[name + bundle.SCALE] = tensor.scale.reshape(() if tensor.axis is None else (-1,))
        drop_unused(graph)
        graph.write_values()
        return made

    def wrong(count: int) -> bool:
        integers_of(count)
        return differs(run_graph(proto))

    right, found = 0, products
    if wrong(0) or not wrong(found):
        return ""
    while found - right > 1:
        middle = (right + found) // 2
        right, found = (right, middle) if wrong(middle) else (middle, found)
    layers = [quantized[name].layer for name in integers_of(found) - integers_of(right)]
    return f"the first layer whose integers make it differ is {layers[0]!r}" if layers else ""


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
        tensor.external_data.add(key="location", value=bundle.NOWHERE)
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
