"""Finished tasks, kept by the content of what went into them.

A task's directory is `CACHE/TITLE-KEY/`; its key covers its component, its parameters, the content of
every input artifact and the code that computes it. `done.json`, written last and by a rename, says that
the outputs beside it are complete: a task that was killed has none and is made again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import paddlepress
import paddlepress_components
from paddlepress import files
from paddlepress_pipelines.local.spec import TaskSpec

DONE = "done.json"
DELIVERY = frozenset({"register", "compare", "promote", "report"})
# The parts of the library whose code can't change what the other components compute.
_DELIVERY_PACKAGES = frozenset({"registry", "report", "delivery"})


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
            "code": code_digest(delivery=task.component in DELIVERY),
            "registry": self.registry if task.component in DELIVERY else "",
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def directory(self, task: TaskSpec, key: str) -> Path:
        """Where a task's outputs go."""
        title = re.sub(r"[^a-z0-9-]+", "-", task.title.lower()).strip("-")
        return self.root / f"{title}-{key[:16]}"

    def find(self, directory: Path) -> Finished | None:
        """A finished task with all its outputs, or None."""
        try:
            content = json.loads((directory / DONE).read_text(encoding="utf-8"))
            finished = Finished(content["outputs"], float(content["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return finished if all(Path(output["uri"]).exists() for output in finished.outputs.values()) else None

    def prepare(self, directory: Path) -> Path:
        """Clear what an unfinished attempt left, all but its checkpoint; returns the checkpoint's directory."""
        checkpoint = directory / "checkpoint"
        if directory.exists():
            for entry in directory.iterdir():
                if entry != checkpoint:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        directory.mkdir(parents=True, exist_ok=True)
        return checkpoint

    def finish(self, directory: Path, outputs: dict[str, dict[str, Any]], seconds: float) -> Finished:
        """Declare a task's outputs complete."""
        shutil.rmtree(directory / "checkpoint", ignore_errors=True)
        for output in outputs.values():
            output["digest"] = content_digest(Path(output["uri"]))
        files.write_text(directory / DONE, json.dumps({"outputs": outputs, "seconds": seconds}, indent=1))
        return Finished(outputs, seconds)


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
    for group in ("paddlepress.techniques", "paddlepress.architectures"):
        for entry in sorted(entry_points(group=group)):
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""
            sha.update(f"{entry.name} {entry.value} {origin}\n".encode())
    return sha.hexdigest()
