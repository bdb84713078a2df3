"""Manifests with something changed that means something: an edit, the architecture, a tensor, the data, the text."""

from __future__ import annotations

import json
import random
from typing import Any

from mutants import values


def edit(source: random.Random) -> dict[str, Any]:
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


def architecture(source: random.Random, about: dict[str, Any]) -> None:
    """Change the architecture, the inputs, the task or the parameters that are stated."""
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
        given = {source.choice(arguments): values.value(source) for _ in range(source.randrange(3))}
        about["architecture"] = {"name": source.choice(names), "arguments": given}
    elif kind == 1:
        about["architecture"]["arguments"] = {source.choice(arguments[:4]): source.choice(values.NUMBERS)}
    elif kind == 2:
        sizes = [1, 8, 0, -1, 3, 28, 2**12, 2**15, 2**31, 2**62]
        shape = [source.choice(sizes) for _ in range(source.randrange(5))]
        about["inputs"] = [{"name": source.choice(["input", "", "\0"]), "shape": shape}] * source.randrange(3)
    elif kind == 3:
        classes = source.choice([[], ["a"], ["a"] * 10, ["x"] * 10**5, [""] * 10])
        about["task"] = {"classes": classes}
    else:
        about["built"] = source.choice(values.NUMBERS)
        about["architecture"]["arguments"] = {source.choice(arguments[:4]): source.choice(values.NUMBERS)}


def record(source: random.Random, about: dict[str, Any]) -> None:
    """Change what is said of a tensor."""
    record = about["tensors"][source.choice(sorted(about["tensors"]))]
    sizes = [0, 1, 2, -1, 16, 32, 2**20, 2**27, 2**31, 2**33, 2**40, 2**63]
    key = source.choice(["shape", "dtype", "encoding", "stored", "axis", "group", "low"])
    record[key] = {
        "shape": [source.choice(sizes) for _ in range(source.randrange(5))],
        "dtype": source.choice(values.WORDS),
        "encoding": source.choice(["raw", "sparse", "coded", "packed", "shared"]),
        "stored": source.choice(values.WORDS),
        "axis": source.choice([None, -1, 0, 1, 2, 3, 99, 2**63]),
        "group": source.choice([None, 0, -1, 1, 7, 2**31, 2**63]),
        "low": source.choice([None, 0, -128, 127, 2**31, 2**70, -(2**63)]),
    }[key]


def data_set(source: random.Random, about: dict[str, Any]) -> None:
    """Change what is said of the data and their splits."""
    split = about["splits"][source.choice(sorted(about["splits"]))]
    kind = source.randrange(8)
    if kind == 0:
        split["count"] = source.choice(values.NUMBERS)
    elif kind == 1:
        name = source.choice(values.NAMES)
        change = source.choice(
            [{"targets": name}, {"inputs": name}, {"inputs": {"input": name}}, {"inputs": {name: name}}]
        )
        split.update(change)
    elif kind == 2:
        about["statistics"]["mean"] = [source.choice(values.NUMBERS) for _ in range(source.randrange(4))]
    elif kind == 3:
        deviations = [source.choice([0.0, -1, 1e-320, 1e308]) for _ in range(source.randrange(1, 4))]
        about["statistics"]["std"] = deviations
    elif kind == 4:
        about["statistics"] = source.choice(
            [
                {**about["statistics"], "scale": source.choice(values.NUMBERS)},
                {**about["statistics"], "dtype": source.choice([None, "float32", "int8"])},
                {"input": about["statistics"]},
                {source.choice(values.NAMES): about["statistics"], "input": about["statistics"]},
            ]
        )
    elif kind == 5:
        about["task"] = source.choice(
            [
                *({"classes": classes} for classes in (["a", "a"], ["a"] * 10, ["x", "y"], [], ["0"])),
                {"kind": "regression", "targets": ["x"], "mean": [1e308], "std": [1e-320]},
                {"kind": "multi-label", "labels": ["x"]},
                {"kind": source.choice(values.NAMES)},
            ]
        )
    elif kind == 6:
        about["targets"] = {
            "name": "targets",
            "shape": [source.choice([1, 8, 0, 2**40]) for _ in range(source.randrange(3))],
            "dtype": source.choice(["int64", "float32", "uint8", "bool"]),
        }
    else:
        about["inputs"] = [{"name": "input", "shape": [source.choice([1, 8, 0, 2**40]) for _ in range(3)]}]


def text(source: random.Random, manifest: dict[str, Any]) -> tuple[str, bytes]:
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
