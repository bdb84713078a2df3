"""Change something in a seed at random, and make anew as much of what protects it as the mutant's level says."""

from __future__ import annotations

import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mutants import binaries, manifests, recipes, sealing, values
from mutants.seeds import Files

LEVELS = ("raw", "files", "sealed", "signed")

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
        kind, data = recipes.recipe(source, text)
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
            values.edit_tree(source, parts.manifest)
    elif kind == "tensors":
        name = source.choice(sorted(parts.weights))
        change = binaries.array if target == "data" else binaries.weights
        kind, parts.weights[name] = change(source, parts.weights[name])
    elif kind == "text":
        kind, parts.text = manifests.text(source, parts.manifest)
    elif kind == "edits":
        edits = about.setdefault("edits", [])
        for _ in range(source.choice([1, 1, 2, 30])):
            edits.insert(source.randrange(len(edits) + 1), manifests.edit(source))
    elif kind == "architecture":
        manifests.architecture(source, about)
    elif kind == "record":
        manifests.record(source, about)
    elif kind == "data":
        manifests.data_set(source, about)
    else:
        parts.graph = binaries.graph(source, parts.graph)
    return kind


def folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder, in memory where there is one."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        prefix="paddlepress-mutants-", dir=memory if os.access(memory, os.W_OK) else None
    )
