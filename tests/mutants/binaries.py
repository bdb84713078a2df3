"""Weights files and graphs with something changed."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

from mutants.values import NAMES

_BYTES = {
    "F32": 4,
    "F64": 8,
    "F16": 2,
    "BF16": 2,
    "I8": 1,
    "U8": 1,
    "I16": 2,
    "I32": 4,
    "I64": 8,
    "U16": 2,
    "U32": 4,
    "U64": 8,
    "BOOL": 1,
    "F8_E4M3": 1,
    "C64": 8,
}


def weights(source: random.Random, data: bytes) -> tuple[str, bytes]:
    """A safetensors file with something changed."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    header.pop("__metadata__", None)
    names = sorted(header)
    name = source.choice(names)
    kind = source.choice(["bits", "part", "counts", "header", "tensors", "type", "shape", "cut", "length"])
    if kind in ("part", "counts"):
        wanted = (
            (":codes", ":positions", ":counts", ":scale", ":codebook", ":values") if kind == "part" else (":counts",)
        )
        names = [each for each in names if each.endswith(wanted)] or names
        name = source.choice(names)
    first, last = header[name]["data_offsets"]
    if kind == "bits":
        for _ in range(source.choice([1, 1, 3, 50])):
            body[source.randrange(len(body))] ^= 1 << source.randrange(8)
    elif kind == "part":
        fill = source.choice([b"\0", b"\xff", b"\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", source.randbytes(64)])
        body[first:last] = (fill * (last - first))[: last - first]
    elif kind == "header":
        key = source.choice(["dtype", "shape", "data_offsets"])
        offsets = [0, 1, -1, len(body), 2**40]
        header[name][key] = {
            "dtype": source.choice([*_BYTES, "X", 1, None]),
            "shape": [source.choice([0, 1, 2, -1, 5, 2**31, 2**40, 2**63]) for _ in range(source.randrange(4))],
            "data_offsets": [source.choice(offsets), source.choice(offsets)],
        }[key]
    elif kind == "type":
        dtype = source.choice(sorted(_BYTES))
        if (last - first) % _BYTES[dtype] == 0:
            header[name].update(dtype=dtype, shape=[(last - first) // _BYTES[dtype]])
    elif kind == "shape":
        size = 1
        for each in header[name]["shape"]:
            size *= each
        header[name]["shape"] = source.choice([[size], [size, 1], [1, size], [1] * 60 + [size]])
    elif kind == "cut":
        return "weights cut", data[: source.randrange(len(data))]
    elif kind == "length":
        return "weights length", struct.pack("<Q", source.choice([0, 1, 7, len(data), 2**31, 2**63, 2**64 - 1])) + data[
            8:
        ]
    else:
        return f"weights {kind}", _rearranged(source, header, bytes(body), name, kind)
    return f"weights {kind}", _safetensors(header, bytes(body))


def array(source: random.Random, data: bytes) -> tuple[str, bytes]:
    """A NumPy file with something changed."""
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length].decode(), bytearray(data[10 + length :])
    kind = source.choice(["bits", "header", "header", "shape", "dtype", "cut", "longer", "version", "length"])
    if kind == "bits":
        for _ in range(source.choice([1, 1, 3, 50])):
            body[source.randrange(len(body))] ^= 1 << source.randrange(8)
    elif kind == "header":
        place = source.randrange(len(header))
        junk = source.choice(["(" * 90, "\0", "__import__('os')", "{", "9" * 900, "é", "'", ""])
        header = header[:place] + junk + header[place + source.randrange(9) :]
    elif kind == "shape":
        shape = tuple(source.choice([0, 1, -1, 8, 2**31, 2**40, 2**63]) for _ in range(source.randrange(6)))
        header = _described(header, "shape", repr(shape))
    elif kind == "dtype":
        header = _described(
            header, "descr", repr(source.choice(["|O", "<f4", ">f4", "|u1", "<i8", "|S9", "<U9", "x", "<M8[s]"]))
        )
    elif kind == "cut":
        del body[source.randrange(len(body)) :]
    elif kind == "longer":
        body += source.randbytes(source.randrange(1, 99))
    start, stated = bytearray(data[:8]), len(header.encode())
    if kind == "version":
        start[source.choice([0, 5, 6, 7])] = source.choice([0, 2, 3, 9, 255])
    if kind == "length":
        stated = source.choice([0, 1, 9999, 2**16 - 1])
    return f"array {kind}", bytes(start) + (stated % 2**16).to_bytes(2, "little") + header.encode() + bytes(body)


def _described(header: str, key: str, value: str) -> str:
    """A NumPy header that says something else of its array."""
    after = {"descr": ", 'fortran_order'", "shape": ", }"}[key]
    before, _, rest = header.partition(f"'{key}': ")
    return f"{before}'{key}': {value}{rest[rest.index(after) :]}"


def _rearranged(source: random.Random, header: dict[str, Any], body: bytes, name: str, kind: str) -> bytes:
    """The same tensors but for one, with offsets that are right."""
    tensors = {
        each: (about["dtype"], about["shape"], body[slice(*about["data_offsets"])]) for each, about in header.items()
    }
    if kind == "counts":
        numbers = [
            source.choice([0, 1, 5, 2**20, 2**31, 2**40, 2**62, 2**63, 2**64 - 1]) for _ in range(source.randrange(5))
        ]
        tensors[name] = ("U64", [len(numbers)], struct.pack(f"<{len(numbers)}Q", *numbers))
    else:
        other = source.choice(sorted(tensors))
        choice = source.randrange(4)
        if choice == 0:
            del tensors[name]
        elif choice == 1:
            tensors[source.choice([*NAMES, other])] = tensors.pop(name)
        elif choice == 2:
            tensors[name + source.choice([":codes", ":scale", ":x"])] = tensors[name]
        else:
            tensors[name], tensors[other] = tensors[other], tensors[name]
    new: dict[str, Any] = {}
    data = b""
    for each, (dtype, shape, values) in tensors.items():
        new[each] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    return _safetensors(new, data)


def _safetensors(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def graph(source: random.Random, graph: bytes) -> bytes:
    """A graph with bytes changed, cut out or put in."""
    data = bytearray(graph)
    if source.random() < 0.5:
        for _ in range(source.choice([1, 2, 5, 30])):
            data[source.randrange(len(data))] = source.randrange(256)
    else:
        place = source.randrange(len(data))
        data[place : place + source.randrange(1, 40)] = source.randbytes(source.randrange(40))
    return bytes(data)
