"""`config.pbtxt`: a model as Triton's model repository describes it, read from its ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paddlepress.core.errors import ArtifactError

FILE = "config.pbtxt"
LARGEST_BATCH = 64

# Of `onnx.TensorProto.DataType`, what networks here take and give.
_TYPES = {
    1: "TYPE_FP32",
    2: "TYPE_UINT8",
    3: "TYPE_INT8",
    5: "TYPE_INT16",
    6: "TYPE_INT32",
    7: "TYPE_INT64",
    9: "TYPE_BOOL",
    10: "TYPE_FP16",
    11: "TYPE_FP64",
}


def config(name: str, model: Path) -> str:
    """The text of `config.pbtxt` for an ONNX file whose first dimension is the batch.

    Args:
        name: of the model, which is that of its folder in the repository.
        model: the file.

    Raises:
        ArtifactError: the file takes or gives what Triton has no type for.
    """
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    lines = [
        f"name: {json.dumps(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {LARGEST_BATCH}",
        *_tensors("input", graph.input, model),
        *_tensors("output", graph.output, model),
        "dynamic_batching { }",
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, values: Any, model: Path) -> list[str]:
    described = []
    for value in values:
        tensor = value.type.tensor_type
        if tensor.elem_type not in _TYPES:
            raise ArtifactError(f"{model.name}: Triton has no type for {kind} {value.name!r} ({tensor.elem_type})")
        sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim[1:]]
        # Triton wants one dimension at the least besides the batch; a number an example has none.
        shape = "" if sizes else ", reshape: { shape: [ ] }"
        dims = ", ".join(map(str, sizes or [1]))
        described.append(
            f"  {{ name: {json.dumps(value.name)}, data_type: {_TYPES[tensor.elem_type]}, dims: [ {dims} ]{shape} }}"
        )
    return [f"{kind} [", ",\n".join(described), "]"]
