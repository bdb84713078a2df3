"""Change something in a seed at random, and make anew as much of what protects it as the mutant's level says."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants import sealing
from mutants.seeds import Files

LEVELS = ("raw", "files", "sealed", "signed")

_NAMES = ["../../x", "/etc/passwd", "..", ".", "", "a/b", "x" * 300, "a\0b", "weights.safetensors/", "__class__", "fc1"]
_NUMBERS = [
    -1, 0, 1, 2, 3, 7, 127, 128, 255, 256, 2**15, 2**20, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64,
    2**70, 10**30, -(2**31), -(2**63), True, False, 0.5, 1.0, 1e-320, 1e308, -0.0,
]  # fmt: skip
_WORDS = [
    "",
    "float32",
    "float64",
    "bfloat16",
    "int8",
    "O",
    "U100000",
    "(2,3)f4",
    "raw",
    "sparse",
    "coded",
    "packed",
    "shared",
    "lenet",
    "vision/resnet18",
    "resnet-cifar",
    "os.system",
    "__class__",
    "../../x",
    "\0",
    "x" * 10000,
    "a\nb",
    "conv1",
    "fc1",
    "fc1.weight",
    "fc2",
    "conv1.weight",
    "classification",
    "narrow",
    "factorize",
    "mask",
    "quantize",
    "remove",
    "input",
    "weight",
    "forward",
    "training",
    "\u202e",
    "0" * 64,
]
_LINKS = ["/etc/passwd", "/dev/zero", "/dev/null", ".", "nowhere", "/proc/self/mem"]


@dataclass
class Mutant:
    """What is to be read.

    Attributes:
        number: it is the mutant of that number of its target.
        seed: the name of the seed it was made of.
        kind: what was changed, in a word or two.
        level: how much of what protects it was made anew.
        files: bytes by name.
        odd: by name, what is no plain file: a link to somewhere, a `directory` or a `pipe`.
    """

    number: int
    seed: str
    kind: str
    level: str
    files: Files
    odd: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write the files into an empty folder."""
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        for name, what in self.odd.items():
            if what == "directory":
                (folder / name).mkdir()
            elif what == "pipe":
                os.mkfifo(folder / name)
            else:
                (folder / name).symlink_to(what)


def mutant(target: str, number: int, seeds: dict[str, Files]) -> Mutant:
    """The mutant of a number; always the same."""
    source = random.Random(f"{target} {number}")
    seed = source.choice(sorted(seeds))
    if target == "recipe":
        text = seeds[seed]["recipe.yaml"].decode()
        kind, data = _recipe(source, text)
        return Mutant(number, seed, kind, "raw", {"recipe.yaml": data}, {})
    files = dict(seeds[seed])
    if source.random() < 0.15:
        kind, odd = _damage(source, files, seeds)
        return Mutant(number, seed, kind, "raw", files, odd)
    level = source.choices(LEVELS[1:], (1, 7, 2))[0]
    parts = sealing.unpack(target, files)
    kind = _change(source, target, parts)
    return Mutant(number, seed, kind, level, sealing.pack(target, parts, level), {})


def _damage(source: random.Random, files: Files, seeds: dict[str, Files]) -> tuple[str, dict[str, str]]:
    """Damage a file as it lies there."""
    name = source.choice(sorted(files))
    data = bytearray(files[name])
    kind = source.choice(["flip", "flip", "flip", "cut", "longer", "swap", "odd"])
    if kind == "flip":
        for _ in range(source.choice([1, 1, 2, 8])):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    elif kind == "cut":
        del data[source.randrange(len(data)) :]
    elif kind == "longer":
        data += source.randbytes(source.randrange(1, 99))
    elif kind == "swap":
        other = seeds[source.choice(sorted(seeds))]
        data = bytearray(other[source.choice(sorted(other))])
    else:
        del files[name]
        what = source.choice(["", "directory", "pipe", *_LINKS])
        return f"file {kind}", {name: what} if what else {}
    files[name] = bytes(data)
    return f"file {kind}", {}


def _change(source: random.Random, target: str, parts: sealing.Parts) -> str:
    """Change what a manifest says, or what a weights file or a graph holds."""
    kinds = {"tree": 4, "tensors": 3, "text": 1}
    if target != "data":
        kinds |= {"edits": 2, "architecture": 2, "record": 2}
    else:
        kinds |= {"data": 2}
    if target == "deployable":
        kinds |= {"graph": 2}
    kind = source.choices(list(kinds), list(kinds.values()))[0]
    about = parts.manifest.get("model", parts.manifest)
    if kind == "tree":
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            _edit_tree(source, parts.manifest)
    elif kind == "tensors":
        name = source.choice(sorted(parts.weights))
        kind, parts.weights[name] = _weights(source, parts.weights[name])
    elif kind == "text":
        kind, parts.text = _text(source, parts.manifest)
    elif kind == "edits":
        edits = about.setdefault("edits", [])
        for _ in range(source.choice([1, 1, 2, 30])):
            edits.insert(source.randrange(len(edits) + 1), _edit(source))
    elif kind == "architecture":
        _architecture(source, about)
    elif kind == "record":
        _record(source, about)
    elif kind == "data":
        _data(source, about)
    else:
        parts.graph = _graph(source, parts.graph)
    return kind


def _value(source: random.Random) -> Any:
    kind = source.randrange(10)
    if kind < 5:
        return source.choice(_NUMBERS)
    if kind < 8:
        return source.choice(_WORDS)
    if kind == 8:
        return source.choice([None, [], {}, [None], [_value(source) for _ in range(source.randrange(4))]])
    return {source.choice(_WORDS): _value(source) for _ in range(source.randrange(3))}


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with every key or place in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))[:50]
            found += [(node, key) for key in keys]
            waiting += [node[key] for key in keys]
    return found


def _edit_tree(source: random.Random, tree: Any) -> None:
    places = _places(tree)
    node, key = source.choice(places)
    kind = source.randrange(6)
    if kind < 3:
        node[key] = _value(source)
    elif kind == 3:
        del node[key]
    elif kind == 4 and isinstance(node, dict):
        node[source.choice(_WORDS + _NAMES)] = node.pop(key)
    else:
        other, place = source.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            node[key] = copy.deepcopy(other[place])


def _edit(source: random.Random) -> dict[str, Any]:
    """A structural edit that hardly fits."""
    layer = source.choice(
        ["conv1", "conv2", "fc1", "fc2", "", "nope", "fc1.first", "__class__", "stage1.0.conv1", "lstm"]
    )

    def size() -> int:
        return source.choice([-1, 0, 1, 2, 8, 16, 64, 1000, 2**31, 2**40, 2**63])

    kind = source.randrange(9)
    if kind == 0:
        attribute = source.choice(
            [
                "_in_channels",
                "_out_channels",
                "_groups",
                "in_features",
                "hidden_size",
                "num_heads",
                "__dict__",
                "forward",
            ]
        )
        return {
            "kind": "narrow",
            "shapes": {f"{layer}.weight": [size() for _ in range(source.randrange(5))]},
            "sizes": {layer: {attribute: source.choice([size(), [size()], []])}},
        }
    if kind == 1:
        return {"kind": "factorize", "layer": layer, "rank": size()}
    if kind == 2:
        method = source.choice(["channel-svd", "spatial", "tucker2", "cp"])
        ranks = [size() for _ in range(source.randrange(4))]
        return {"kind": "factorize-conv", "layer": layer, "method": method, "ranks": ranks}
    if kind == 3:
        return {"kind": "mask", "parameters": [source.choice([f"{layer}.weight", "x", "", layer])]}
    if kind == 4:
        return {
            "kind": "quantize",
            "layer": layer,
            "bits": source.choice([16, 8, 4, 2, 1, 3]),
            "axis": source.choice([None, -1, 0, 1, 99]),
            "group": source.choice([None, 1, 7, 2**40]),
            "input_scale": source.choice([None, 1e-300, 1e308, 0.1]),
            "input_zero_point": source.choice([0, 255, 7]),
        }
    if kind == 5:
        scale, reader = source.choice([0.1, 1e308, 1e-320]), source.choice(["", layer, "nope"])
        return {"kind": "quantize-output", "layer": layer, "scale": scale, "zero_point": 3, "reader": reader}
    if kind == 6:
        return {"kind": "share", "layer": layer, "bits": source.choice([1, 4, 8, 9])}
    if kind == 7:
        return {"kind": "fold-norm", "layer": layer, "norm": source.choice([layer, "fc1", "nope", "bn1"])}
    return {"kind": "remove", "layer": layer}


def _architecture(source: random.Random, about: dict[str, Any]) -> None:
    kind = source.randrange(5)
    names = [
        "lenet",
        "lenet-half",
        "lenet5-caffe",
        "lenet-300-100",
        "resnet-cifar",
        "lstm",
        "vit",
        "vision/resnet18",
        "x",
    ]
    arguments = ["width", "depth", "hidden", "layers", "heads", "dim", "patch", "inputs", "task", "self", "pretrained"]
    if kind == 0:
        given = {source.choice(arguments): _value(source) for _ in range(source.randrange(3))}
        about["architecture"] = {"name": source.choice(names), "arguments": given}
    elif kind == 1:
        about["architecture"]["arguments"] = {source.choice(arguments[:4]): source.choice(_NUMBERS)}
    elif kind == 2:
        sizes = [1, 8, 0, -1, 3, 28, 2**12, 2**15, 2**31, 2**62]
        shape = [source.choice(sizes) for _ in range(source.randrange(5))]
        about["inputs"] = [{"name": source.choice(["input", "", "\0"]), "shape": shape}] * source.randrange(3)
    elif kind == 3:
        classes = source.choice([[], ["a"], ["a"] * 10, ["x"] * 10**5, [""] * 10])
        about["task"] = {"classes": classes}
    else:
        about["built"] = source.choice(_NUMBERS)
        about["architecture"]["arguments"] = {source.choice(arguments[:4]): source.choice(_NUMBERS)}


def _record(source: random.Random, about: dict[str, Any]) -> None:
    record = about["tensors"][source.choice(sorted(about["tensors"]))]
    sizes = [0, 1, 2, -1, 16, 32, 2**20, 2**27, 2**31, 2**33, 2**40, 2**63]
    key = source.choice(["shape", "dtype", "encoding", "stored", "axis", "group", "low"])
    record[key] = {
        "shape": [source.choice(sizes) for _ in range(source.randrange(5))],
        "dtype": source.choice(_WORDS),
        "encoding": source.choice(["raw", "sparse", "coded", "packed", "shared"]),
        "stored": source.choice(_WORDS),
        "axis": source.choice([None, -1, 0, 1, 2, 3, 99, 2**63]),
        "group": source.choice([None, 0, -1, 1, 7, 2**31, 2**63]),
        "low": source.choice([None, 0, -128, 127, 2**31, 2**70, -(2**63)]),
    }[key]


def _data(source: random.Random, about: dict[str, Any]) -> None:
    split = about["splits"][source.choice(sorted(about["splits"]))]
    kind = source.randrange(7)
    if kind == 0:
        split["count"] = source.choice(_NUMBERS)
    elif kind == 1:
        split["file"] = source.choice(_NAMES)
    elif kind == 2:
        about["mean"] = [source.choice(_NUMBERS) for _ in range(source.randrange(4))]
    elif kind == 3:
        about["std"] = [source.choice([0.0, -1, 1e-320, 1e308]) for _ in range(source.randrange(1, 4))]
    elif kind == 4:
        about["scale"] = source.choice(_NUMBERS)
    elif kind == 5:
        about["classes"] = source.choice([["a", "a"], ["a"] * 10, ["x", "y"], [], ["0"]])
    else:
        about["inputs"] = [{"name": "input", "shape": [source.choice([1, 8, 0, 2**40]) for _ in range(3)]}]


def _text(source: random.Random, manifest: dict[str, Any]) -> tuple[str, bytes]:
    """A manifest's text as no writer of ours writes it."""
    whole = json.dumps(manifest)
    kind = source.choice(["deep", "odd", "twice"])
    if kind == "twice":
        return "text twice", f"{whole[:-1]}, {whole[1:]}".encode()
    if kind == "odd":
        return "text odd", source.choice(
            [b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"\xff\xfe{}", b"\xef\xbb\xbf" + whole.encode(),
             whole.encode("utf-16"), b'{"format_version": 1e400}', b'{"format_version": ' + b"9" * 5000 + b"}",
             b'{"format_version": -1}', whole.replace("a", "\\ud800", 1).encode(), b" " * 9 * 2**20,
             whole.replace("1", "NaN", 1).encode()]
        )  # fmt: skip
    levels = source.choice([50, 100, 900, 2000, 100_000])
    opened, closed = source.choice([("[", "]"), ('{"a":', "}")])
    deep = opened * levels + ("1" if closed == "}" else "") + closed * levels
    return "text deep", (deep if source.random() < 0.5 else f'{whole[:-1]}, "lineage": {deep}}}').encode()


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


def _weights(source: random.Random, data: bytes) -> tuple[str, bytes]:
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
            tensors[source.choice([*_NAMES, other])] = tensors.pop(name)
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


def _graph(source: random.Random, graph: bytes) -> bytes:
    data = bytearray(graph)
    if source.random() < 0.5:
        for _ in range(source.choice([1, 2, 5, 30])):
            data[source.randrange(len(data))] = source.randrange(256)
    else:
        place = source.randrange(len(data))
        data[place : place + source.randrange(1, 40)] = source.randbytes(source.randrange(40))
    return bytes(data)


_SCALARS = [
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "-1e400",
    ".nan",
    ".inf",
    "9" * 400,
    "9" * 5000,
    "[]",
    "{}",
    "''",
    '"\\0"',
    '"\\uD800"',
    "!!python/object/apply:os.system ['id']",
    "!!python/name:os.system",
    "!!binary '@@@'",
    "!!set {a,b}",
    "!!int 'x'",
    "!!map [1]",
    "!custom x",
    "*nope",
    "&x *x",
    "<<",
    "2026-01-01",
    "0xffffffffffffffffffffffff",
    "yes",
    "'..'",
    "~nosuchuser/x",
    "~",
    "s3://",
    "s3://b/../../x",
    "file:///etc/passwd",
    "/dev/zero",
    "'" + "a" * 10**5 + "'",
    "\u202e",
    "__class__",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "$(id)",
    "? [a]\n: b",
    "{[1]: 2}",
    "{{a: 1}: 2}",
    "- a",
    "2:4",
    "-0",
    "1e-400",
    "[nan]",
    "[1, null, 'x']",
    "{a: {b: {c: {d: 1}}}}",
]
_KEYS = [
    "name",
    "title",
    "seed",
    "device",
    "data",
    "base",
    "variants",
    "evaluation",
    "gates",
    "objective",
    "cluster",
    "source",
    "path",
    "classes",
    "validation",
    "calibration",
    "architecture",
    "arguments",
    "training",
    "artifact",
    "epochs",
    "batch_size",
    "learning_rate",
    "maximize",
    "metric",
    "at_most",
    "against",
    "gpus",
    "memory",
    "cpus",
    "bits",
    "ratio",
    "sparsity",
    "prune-weights",
    "distill-offline",
    "teachers",
    "student",
    "width",
]


def _recipe(source: random.Random, text: str) -> tuple[str, bytes]:
    """A recipe's text with something changed."""
    import yaml

    kind = source.choice(["bytes", "lines", "scalar", "scalar", "tree", "tree", "tree", "bomb", "junk"])
    if kind == "bytes":
        data = bytearray(text.encode())
        for _ in range(source.randrange(1, 12)):
            data[source.randrange(len(data))] = source.randrange(256)
        return "recipe bytes", bytes(data)
    if kind == "lines":
        lines = text.split("\n")
        for _ in range(source.randrange(1, 4)):
            place, other = source.randrange(len(lines)), source.randrange(len(lines))
            lines[place] = source.choice(
                [
                    lines[other],
                    "",
                    " " * source.randrange(9) + lines[place].strip(),
                    f"{lines[place]} {source.choice(_SCALARS)}",
                ]
            )
        return "recipe lines", "\n".join(lines).encode()
    if kind == "scalar":
        for _ in range(source.randrange(1, 3)):
            found = source.choice(list(re.finditer(r"(?<=: )[^\s{}\[\],#]+", text)))
            text = text[: found.start()] + source.choice(_SCALARS) + text[found.end() :]
        return "recipe scalar", text.encode()
    if kind == "tree":
        tree = yaml.safe_load(text)
        for _ in range(source.randrange(1, 4)):
            _edit_tree(source, tree)
            if source.random() < 0.3:
                tree[source.choice(_KEYS)] = _value(source)
        return "recipe tree", (
            yaml.safe_dump(tree, allow_unicode=True) if source.random() < 0.7 else json.dumps(tree)
        ).encode()
    if kind == "junk":
        return "recipe junk", source.randbytes(source.choice([0, 1, 10, 1000, 10**5]))
    levels = source.choice([2, 6, 12, 20])
    width = source.choice(["list", "merge", "deep", "block", "long", "self", "keys"])
    if width == "list":
        rows = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, levels))
        return "recipe bomb", f"a0: &a0 [x]\n{rows}{text}".encode()
    if width == "merge":
        rows = "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], y{i}: 1}}\n" for i in range(1, 2 * levels))
        return "recipe bomb", f"a0: &a0 {{x: 1}}\n{rows}{text}".encode()
    if width == "deep":
        opened = source.choice(["[", "{a: "])
        return "recipe bomb", ("description: " + opened * 10 ** source.randrange(1, 5)).encode()
    if width == "block":
        return "recipe bomb", "".join(" " * i + "a:\n" for i in range(source.choice([10, 100, 1000]))).encode()
    if width == "long":
        return "recipe bomb", f"description: '{'x' * source.choice([10**5, 10**6])}'\n{text}".encode()
    if width == "self":
        return "recipe bomb", f"a: &a [*a]\nb: &b {{c: *b}}\n{text}".encode()
    return "recipe bomb", (text + "".join(f"k{i}: {i}\n" for i in range(source.choice([10, 1000, 5000])))).encode()


def folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder, in memory where there is one."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        prefix="paddlepress-mutants-", dir=memory if os.access(memory, os.W_OK) else None
    )
