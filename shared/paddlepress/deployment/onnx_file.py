"""What an ONNX file says of its tensors and metadata, read from its bytes without an ONNX library.

Field numbers are those of onnx.proto3; see https://protobuf.dev/programming-guides/encoding for the wire format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Message -> field number -> the message in that field, for every field through which a tensor can be reached.
_INSIDE = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
_MODEL_METADATA = 14
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 32

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
        IndexError: they end too early.
    """
    found: dict[str, Outside] = {}
    waiting: list[tuple[str, tuple[str, ...], int, int]] = [("Model", (), 0, len(model))]
    while waiting:
        message, path, start, end = waiting.pop()
        if len(path) > _DEEPEST:
            raise ValueError("its graphs are nested too deep")
        if message == "Tensor":
            name, tensor = _tensor(model, start, end, path == ("Model", "Graph"))
            if tensor is None:
                continue
            if name in found:
                raise ValueError(f"two tensors are called {name!r}")
            found[name] = tensor
            continue
        inside = _INSIDE[message]
        for number, kind, first, last in _fields(model, start, end):
            if number in inside:
                if kind != _BYTES:
                    raise ValueError(f"field {number} is no message")
                waiting.append((inside[number], (*path, message), first, last))
    return found


def metadata(model: bytes) -> dict[str, tuple[int, int]]:
    """Where in an ONNX file the value of each entry of its metadata begins and ends.

    Raises:
        ValueError, KeyError: the bytes are no ONNX file.
        IndexError: they end too early.
    """
    places: dict[str, tuple[int, int]] = {}
    for number, kind, start, end in _fields(model, 0, len(model)):
        if number == _MODEL_METADATA and kind == _BYTES:
            entry = {key: (first, last) for key, _, first, last in _fields(model, start, end)}
            (key_start, key_end), value = entry[1], entry[2]
            places[model[key_start:key_end].decode()] = value
    return places


def _tensor(data: bytes, start: int, end: int, initializer: bool) -> tuple[str, Outside | None]:
    """A tensor's name, and what is known of it if its values are outside."""
    name, dtype, shape, elsewhere = "", 0, [], False
    for number, kind, first, last in _fields(data, start, end):
        if number == _TENSOR_NAME and kind == _BYTES:
            name = data[first:last].decode()
        elif number == _TENSOR_DIMS and kind == _BYTES:
            while first < last:
                value, first = _integer(data, first)
                shape.append(value)
        elif number == _TENSOR_DIMS and kind == _VARINT:
            shape.append(_integer(data, first)[0])
        elif number == _TENSOR_TYPE and kind == _VARINT:
            dtype = _integer(data, first)[0]
        elif number == _TENSOR_LOCATION and kind == _VARINT:
            elsewhere |= _integer(data, first)[0] != 0
        elif number in (_TENSOR_EXTERNAL, _TENSOR_LOCATION):
            elsewhere = True
    return name, Outside(tuple(shape), dtype, initializer) if elsewhere else None


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, begin and end of each field of a protobuf message.

    Raises:
        ValueError: the bytes are no protobuf message.
        IndexError: they end too early.
    """
    while start < end:
        tag, start = _integer(data, start)
        if tag >= 2**32:
            raise ValueError("a field's number is too large")
        kind = tag & 7
        first = start
        if kind == _VARINT:
            _, start = _integer(data, start)
        elif kind == _BYTES:
            size, first = _integer(data, start)
            start = first + size
        elif kind in (_FIXED32, _FIXED64):
            start += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"an unexpected wire type {kind}")
        if start > end:
            raise ValueError("a field reaches past its message")
        yield tag >> 3, kind, first, start


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
