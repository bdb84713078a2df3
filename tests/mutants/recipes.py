"""Recipes with something changed."""

from __future__ import annotations

import json
import random
import re

from mutants import values
from paddlepress.core import yaml_text

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


def recipe(source: random.Random, text: str) -> tuple[str, bytes]:
    """A recipe's text with something changed."""
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
        tree = yaml_text.read(text)
        for _ in range(source.randrange(1, 4)):
            values.edit_tree(source, tree)
            if source.random() < 0.3:
                tree[source.choice(_KEYS)] = values.value(source)
        return "recipe tree", (yaml_text.write(tree) if source.random() < 0.7 else json.dumps(tree)).encode()
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
