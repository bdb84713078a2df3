"""What an ONNX file says of its tensors and metadata, read without an ONNX library.

Protobuf reads it, as in ONNX Runtime, which brings it; it is told of the fields through which a tensor can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

# Message -> field -> number, type; a star is for any number of them. See onnx.proto.
_MESSAGES = {
    "Model": {
        "graph": (7, "Graph"), "metadata": (14, "*Entry"), "training": (20, "*Training"),
        "functions": (25, "*Function"),
    },
    "Training": {"initialization": (1, "Graph"), "algorithm": (2, "Graph")},
    "Graph": {"node": (1, "*Node"), "initializer": (5, "*Tensor"), "sparse_initializer": (15, "*SparseTensor")},
    "Function": {"node": (7, "*Node"), "attribute": (11, "*Attribute")},
    "Node": {"attribute": (5, "*Attribute")},
    "Attribute": {
        "t": (5, "Tensor"), "g": (6, "Graph"), "tensors": (10, "*Tensor"), "graphs": (11, "*Graph"),
        "sparse_tensor": (22, "SparseTensor"), "sparse_tensors": (23, "*SparseTensor"),
    },
    "SparseTensor": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {
        "dims": (1, "*INT64"), "data_type": (2, "INT32"), "name": (8, "STRING"), "external_data": (13, "*Entry"),
        "data_location": (14, "INT32"),
    },
    "Entry": {"key": (1, "STRING"), "value": (2, "STRING")},
}  # fmt: skip

FLOAT, INT8 = 1, 3
"""Numbers of `TensorProto.DataType`."""
TYPES = {
    "float32": FLOAT, "uint8": 2, "int8": INT8, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13,
}  # fmt: skip


@dataclass(frozen=True)
class Outside:
    """A tensor whose values are not in the file.

    Attributes:
        shape, dtype: of the tensor; the type by its number.
        initializer: whether it is one of the whole graph; else it is inside a node, a function, a subgraph, ...
    """

    shape: tuple[int, ...]
    dtype: int
    initializer: bool


def outside(model: bytes) -> dict[str, Outside]:
    """The tensors, by name, whose values an ONNX runtime would look for outside the file.

    Raises:
        ValueError: the bytes are no ONNX file, or two such tensors have one name.
    """
    from google.protobuf.message import Message

    found: dict[str, Outside] = {}
    waiting: list[tuple[Any, tuple[str, ...]]] = [(_parsed(model), ())]
    while waiting:
        message, path = waiting.pop()
        if message.DESCRIPTOR.name == "Tensor":
            if not message.external_data and not message.data_location:
                continue
            if message.name in found:
                raise ValueError(f"two tensors are called {message.name!r}")
            initializer = path == ("graph", "initializer")
            found[message.name] = Outside(tuple(message.dims), message.data_type, initializer)
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                inner = [value] if isinstance(value, Message) else value
                waiting += [(one, (*path, field.name)) for one in inner]
    return found


def metadata(model: bytes) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        ValueError: the bytes are no ONNX file.
    """
    return {entry.key: entry.value for entry in _parsed(model).metadata}


def _parsed(model: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _model_class().FromString(model)
    except DecodeError as error:
        raise ValueError(str(error)) from None


@cache
def _model_class() -> Any:
    """The class of protobuf messages that are models."""
    from google.protobuf import descriptor_pool, message_factory
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto(name="paddlepress/onnx.proto", package="paddlepress.onnx", syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = "LABEL_REPEATED" if kind.startswith("*") else "LABEL_OPTIONAL"
            field = described.field.add(name=name, number=number, label=FieldDescriptorProto.Label.Value(label))
            kind = kind.removeprefix("*")
            if kind in _MESSAGES:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Model"))
