"""Values that nobody expects, and trees with something changed."""

from __future__ import annotations

import copy
import random
from typing import Any

NAMES = ["../../x", "/etc/passwd", "..", ".", "", "a/b", "x" * 300, "a\0b", "weights.safetensors/", "__class__", "fc1"]

NUMBERS = [
    -1, 0, 1, 2, 3, 7, 127, 128, 255, 256, 2**15, 2**20, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64,
    2**70, 10**30, -(2**31), -(2**63), True, False, 0.5, 1.0, 1e-320, 1e308, -0.0,
]  # fmt: skip

WORDS = [
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


def value(source: random.Random) -> Any:
    """A number, a word, or a small tree of them."""
    kind = source.randrange(10)
    if kind < 5:
        return source.choice(NUMBERS)
    if kind < 8:
        return source.choice(WORDS)
    if kind == 8:
        return source.choice([None, [], {}, [None], [value(source) for _ in range(source.randrange(4))]])
    return {source.choice(WORDS): value(source) for _ in range(source.randrange(3))}


def edit_tree(source: random.Random, tree: Any) -> None:
    """Change, remove, rename or copy something in a tree."""
    places = _places(tree)
    node, key = source.choice(places)
    kind = source.randrange(6)
    if kind < 3:
        node[key] = value(source)
    elif kind == 3:
        del node[key]
    elif kind == 4 and isinstance(node, dict):
        node[source.choice(WORDS + NAMES)] = node.pop(key)
    else:
        other, place = source.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            node[key] = copy.deepcopy(other[place])


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
