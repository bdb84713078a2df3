"""Finished tasks, kept by the content of what went into them.

A task's directory is `CACHE/COMPONENT-KEY/`; its key covers its component, its parameters, the content of
every input artifact and of files outside that it reads, and the code that computes it. `done.json`, written
last and by a rename, says that the outputs beside it are complete: a task that was killed has none and is
made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import paddlepress
import paddlepress_components
from paddlepress import files
from paddlepress.fields import Place
from paddlepress.plugins import ARCHITECTURES, TECHNIQUES, listed
from paddlepress.storage import is_s3
from paddlepress.techniques import technique_class
from paddlepress_pipelines.local.spec import TaskSpec

DONE = "done.json"
DELIVERY = frozenset({"register", "compare", "promote", "report"})
OUTSIDE = {"load-data": "path", "import-model": "artifact"}
"""Component -> its parameter that names something outside the home; a technique's are those marked as a `Place`."""
# The parts of the library whose code can't change what the other components compute.
_DELIVERY_PACKAGES = frozenset({"registry", "report", "delivery"})
_OWN = frozenset({"paddlepress", "paddlepress_components"})
# Whose version can change what a task computes.
_LIBRARIES = ("paddlepaddle", "paddle2onnx", "onnxruntime", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Finished:
    """A finished task.

    Attributes:
        outputs: artifact output -> {uri, type, metadata, digest}.
        seconds: how long it took when it was made.
    """

    outputs: dict[str, dict[str, Any]]
    seconds: float


class Cache:
    """The finished tasks below one directory.

    Args:
        root: the directory.
        registry: identifies the registry; tasks that write to it are kept only for that very one.
    """

    def __init__(self, root: Path, registry: str) -> None:
        self.root = root
        self.registry = registry

    def key(self, task: TaskSpec, input_digests: Mapping[str, str]) -> str:
        """SHA-256 of everything that decides what a task's outputs are."""
        container = task.executor_spec.container
        content = {
            "component": task.component,
            "image": container.image,
            "command": [*container.command, *container.args],
            "parameters": task.constants,
            "inputs": dict(input_digests),
            "outside": _outside_digest(task),
            "code": code_digest(delivery=task.component in DELIVERY),
            "registry": self.registry if task.component in DELIVERY else "",
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def directory(self, task: TaskSpec, key: str) -> Path:
        """Where a task's outputs go; whichever variant it is made for first."""
        return self.root / f"{task.component}-{key[:16]}"

    def find(self, directory: Path) -> Finished | None:
        """A finished task with all its outputs, or None."""
        try:
            content = json.loads((directory / DONE).read_text(encoding="utf-8"))
            finished = Finished(
                {
                    name: {**output, "uri": str(directory / output["uri"])}
                    for name, output in content["outputs"].items()
                },
                float(content["seconds"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return finished if all(Path(output["uri"]).exists() for output in finished.outputs.values()) else None

    def prepare(self, directory: Path, *, fresh: bool) -> Path:
        """Clear what an earlier attempt left, but for its checkpoint unless `fresh`; returns the checkpoint's place."""
        checkpoint = directory / "checkpoint"
        # First of all: what is half cleared must not count as finished.
        (directory / DONE).unlink(missing_ok=True)
        if directory.exists():
            for entry in directory.iterdir():
                if entry != checkpoint or fresh:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        directory.mkdir(parents=True, exist_ok=True)
        return checkpoint

    def finish(self, directory: Path, outputs: dict[str, dict[str, Any]], seconds: float) -> Finished:
        """Declare a task's outputs complete."""
        for output in outputs.values():
            output["digest"] = content_digest(Path(output["uri"]))
        # Relative names: a home that is moved or copied keeps its own outputs.
        stored = {
            name: {**output, "uri": str(Path(output["uri"]).relative_to(directory))} for name, output in outputs.items()
        }
        files.write_text(directory / DONE, json.dumps({"outputs": stored, "seconds": seconds}, indent=1))
        shutil.rmtree(directory / "checkpoint", ignore_errors=True)
        return Finished(outputs, seconds)


def reads_remote(task: TaskSpec) -> bool:
    """Whether a task reads something that can change without a file on this machine changing."""
    return any(is_s3(place) for place in _outside(task))


def _outside_digest(task: TaskSpec) -> list[str]:
    """Content of the files and folders on this machine, but outside the home, that a task reads."""
    return [content_digest(Path(place).expanduser()) for place in _outside(task) if not is_s3(place)]


def _outside(task: TaskSpec) -> list[str]:
    """The places outside the home that a task reads, by its component's parameters."""
    if task.component in OUTSIDE:
        return Place().places(task.constants.get(OUTSIDE[task.component]))
    if task.component not in listed(TECHNIQUES):
        return []
    marks = [
        (name, mark)
        for name, info in technique_class(task.component).model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Place)
    ]
    return [place for name, mark in marks for place in mark.places(task.constants.get(name))]


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of a directory's files with their names; empty where there is nothing."""
    if path.is_file():
        return files.sha256_of(path)
    sha = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else ():
        if file.is_file():
            sha.update(f"{file.relative_to(path)} {files.sha256_of(file)}\n".encode())
    return sha.hexdigest()


@cache
def code_digest(*, delivery: bool) -> str:
    """SHA-256 of the installed code that computes a task: change the code, and the task is made again."""
    sha = hashlib.sha256(paddlepress.__version__.encode())
    for package in (paddlepress, paddlepress_components):
        root = Path(str(package.__file__)).parent
        for file in sorted(root.rglob("*.py")):
            part = file.relative_to(root)
            if delivery or not _DELIVERY_PACKAGES & set(part.parts):
                sha.update(f"{part} {files.sha256_of(file)}\n".encode())
    for entry in (*entry_points(group=TECHNIQUES), *entry_points(group=ARCHITECTURES)):
        sha.update(f"{entry.name} {entry.value} {_plugin_digest(entry.module.partition('.')[0])}\n".encode())
    for library in _LIBRARIES:
        sha.update(f"{library} {version(library)}\n".encode())
    return sha.hexdigest()


@cache
def _plugin_digest(package: str) -> str:
    """Digest of a plugin's top-level package; finding it does not import it."""
    found = find_spec(package) if package not in _OWN else None
    sha = hashlib.sha256()
    for root in found.submodule_search_locations or [] if found else []:
        for file in sorted(Path(root).rglob("*.py")):
            sha.update(f"{file.relative_to(root)} {files.sha256_of(file)}\n".encode())
    if found is not None and found.origin and not found.submodule_search_locations:
        sha.update(files.sha256_of(Path(found.origin)).encode())
    return sha.hexdigest()
