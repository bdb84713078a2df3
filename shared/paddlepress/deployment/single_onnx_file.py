"""A deployable as one ONNX file with its weights inside, which any ONNX runtime loads.

It computes what the deployable does, on integers where that does, of inputs as data hold them: the model's
preprocessing is the first part of the graph. Only text is none of ONNX's affairs: its tokens' places are what goes in,
and the table is in the metadata. It is larger than the deployable, since nothing in it is entropy coded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.artifact.store import decode_all
from paddlepress.core.errors import ArtifactError, UsageError
from paddlepress.core.files import replacing
from paddlepress.deployment import bundle
from paddlepress.deployment.predictor import Predictor, initializers, stored_form
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.tensors import joined

if TYPE_CHECKING:
    from paddlepress.artifact.manifest import Manifest
    from paddlepress.spec.tensors import Array

FILE = "model.onnx"

_COMPARED = 3  # examples
_DIFFERENCE = 1e-4  # of the largest output


def write(deployable: Path, directory: Path, facts: Mapping[str, str]) -> Path:
    """Write `model.onnx` into a new directory, and compare it with the deployable before it is kept.

    Args:
        deployable: from `export`.
        directory: must not exist.
        facts: what else is known of the model, such as its name and version; for the file's metadata.

    Returns:
        The file.

    Raises:
        UsageError: the directory exists.
        ArtifactError: the deployable is damaged, or larger than an ONNX file can be.
    """
    if directory.exists():
        raise UsageError(f"{directory} exists already; name a folder that does not")
    predictor = Predictor.load(deployable)
    proto = _whole(deployable, predictor.manifest, facts)
    try:
        data = proto.SerializeToString(deterministic=True)
    except ValueError:
        raise ArtifactError(f"{deployable} has more weights than one ONNX file can hold, which is 2 GB") from None
    _compare(data, predictor)
    with replacing(directory) as temporary:
        temporary.mkdir()
        (temporary / FILE).write_bytes(data)
    return directory / FILE


def _whole(deployable: Path, manifest: Manifest, facts: Mapping[str, str]) -> Any:
    """The `onnx.ModelProto`, with weights, preprocessing and metadata."""
    from onnx import TensorProto, helper, load_model_from_string, numpy_helper

    graph_file, values = _read(deployable)
    proto = load_model_from_string(graph_file)
    graph = proto.graph
    inside = [
        numpy_helper.from_array(values[tensor.name], tensor.name)
        if tensor.data_location == TensorProto.EXTERNAL
        else tensor
        for tensor in graph.initializer
    ]
    del graph.initializer[:]
    graph.initializer.extend(inside)
    _rename_output(graph, manifest.task.outputs[0].name)
    if manifest.preprocessing is not None:
        for given in graph.input:
            own = manifest.preprocessing.of(given.name)
            if isinstance(own, Preprocessing):
                _preprocess(graph, given, own)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    graph.name = facts.get("name", manifest.architecture.name)
    proto.doc_string = _text(manifest)
    del proto.metadata_props[:]
    helper.set_model_props(proto, {**facts, **_metadata(manifest)})
    return proto


def _read(deployable: Path) -> tuple[bytes, dict[str, Array]]:
    """A deployable's graph, and the values that it wants, by name."""
    found = bundle.read(deployable)
    tensors = decode_all(found.manifest, found.arrays)
    return found.graph, initializers(tensors, found.integers, found.unused)


def _metadata(manifest: Manifest) -> dict[str, str]:
    preprocessing = manifest.preprocessing
    return {
        "architecture": manifest.architecture.name,
        "task": manifest.task.kind,
        **{name: json.dumps(value) for name, value in manifest.task.model_dump(mode="json", exclude={"kind"}).items()},
        "preprocessing": "none" if preprocessing is None else preprocessing.model_dump_json(),
        "model_digest": manifest.digest,
    }


def _text(manifest: Manifest) -> str:
    """What goes in and what comes out, in words."""
    taken = []
    for spec in manifest.inputs:
        shape = ", ".join(map(str, spec.shape))
        preprocessing = manifest.preprocessing.of(spec.name) if manifest.preprocessing is not None else None
        dtype, inside = spec.dtype, " as the network takes it"
        if isinstance(preprocessing, Preprocessing):
            dtype, inside = stored_form(manifest, spec)[0], f"; {preprocessing.text()} is done inside"
        elif preprocessing is not None:
            inside = f": {preprocessing.text()}, as the metadata's preprocessing says"
        taken.append(f"{spec.name}: {dtype} [batch, {shape}]{inside}. ")
    output = manifest.task.outputs[0]
    gives = ", ".join(map(str, output.shape))
    return f"{''.join(taken)}{output.name}: float32 [batch, {gives}]; {manifest.task.describe()}."


def _rename_output(graph: Any, new: str) -> None:
    """Call the first output by the task's name for it, wherever it is read or made."""
    old = graph.output[0].name
    graph.output[0].name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _preprocess(graph: Any, given: Any, preprocessing: Preprocessing) -> None:
    """Put behind an input of a graph what `Preprocessing.apply` does, in the same order and precision."""
    from onnx import TensorProto, helper, numpy_helper

    rank = len(given.type.tensor_type.shape.dim)
    shape = (-1,) + (1,) * (rank - 2)
    nodes, last = [], given.name
    if preprocessing.dtype == "uint8":
        given.type.tensor_type.elem_type = TensorProto.UINT8
        nodes.append(helper.make_node("Cast", [last], [f"{given.name}:float"], to=TensorProto.FLOAT))
        last = f"{given.name}:float"
    steps = {"scale": ("Div", (preprocessing.scale,)), "mean": ("Sub", preprocessing.mean)}
    steps["std"] = ("Div", preprocessing.std)
    for field, (operator, numbers) in steps.items():
        if set(numbers) == {0.0 if field == "mean" else 1.0}:
            continue  # changes nothing
        constant, made = f"{given.name}:{field}", f"{given.name}:after_{field}"
        graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.float32).reshape(shape), constant))
        nodes.append(helper.make_node(operator, [last, constant], [made]))
        last = made
    for node in graph.node:
        node.input[:] = [last if name == given.name else name for name in node.input]
    nodes.extend(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def _compare(data: bytes, predictor: Predictor) -> None:
    """Refuse a file that computes something else than its deployable."""
    import onnxruntime

    random = np.random.default_rng(0)
    stored: dict[str, Array] = {}
    prepared: dict[str, Array] = {}
    whole = predictor.manifest.preprocessing
    for spec in predictor.manifest.inputs:
        own = whole.of(spec.name) if whole is not None else None
        numbers = isinstance(own, Preprocessing)
        dtype = np.dtype(stored_form(predictor.manifest, spec)[0] if numbers else spec.dtype)
        if dtype.kind == "f":
            drawn: Array = random.normal(size=(_COMPARED, *spec.shape))
        else:
            drawn = random.integers(0, 256 if dtype == np.uint8 else spec.vocabulary or 2, (_COMPARED, *spec.shape))
        stored[spec.name] = drawn.astype(dtype)
        prepared[spec.name] = stored[spec.name]
        if isinstance(own, Preprocessing):
            prepared[spec.name] = own.apply(stored[spec.name])
    expected = predictor.run(joined(prepared))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=False)
    found = session.run([predictor.task.outputs[0].name], stored)[0]
    scale = float(np.abs(expected).max(initial=0))
    if not np.allclose(found, expected, rtol=0, atol=_DIFFERENCE * scale, equal_nan=True):
        raise ArtifactError(f"{FILE} was not written: it computes something else than its deployable")
