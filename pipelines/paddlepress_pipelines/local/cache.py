"""Finished tasks, kept by the content of what went into them.

A task's directory is `CACHE/COMPONENT-KEY/`; its key covers its component, its parameters, the content of
every input artifact and of files outside that it reads, and the code that computes it. `done.json`, written
last and by a rename, says that the outputs beside it are complete: a task that was killed has none and is
made again. It holds their digests too: outputs that are not what was made are no longer believed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddlepress.core import files
from paddlepress.core.errors import PaddlepressError
from paddlepress.core.fields import expanded
from paddlepress.core.plugins import TECHNIQUES, listed
from paddlepress.core.storage import is_s3
from paddlepress.network.architectures import ArchitectureName
from paddlepress.techniques import technique_class
from paddlepress_pipelines.local.code import library_digest, plugins_digest
from paddlepress_pipelines.local.spec import TaskSpec

DONE = "done.json"
REGISTER, REGISTRATION = "register", "registration"
"""The component that registers, and its output."""
MODEL = "system.Model"


class DamagedOutput(PaddlepressError):
    """What a finished task left is no longer what it made."""


@dataclass(frozen=True)
class Finished:
    """A finished task.

    Attributes:
        outputs: artifact output -> {uri, type, metadata, digest, bytes}.
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

    def key(self, task: TaskSpec, inputs: Mapping[str, Mapping[str, Any]]) -> str:
        """SHA-256 of everything that decides what a task's outputs are.

        Args:
            task: the task.
            inputs: its input artifacts, as the outputs of finished tasks.
        """
        container = task.executor_spec.container
        content = {
            "component": task.component,
            "image": container.image,
            "command": [*container.command, *container.args],
            "parameters": task.constants,
            "inputs": {name: artifact["digest"] for name, artifact in inputs.items()},
            "outside": _outside_digest(task),
            "code": library_digest(delivery=task.traits.registry),
            "plugins": plugins_digest(task.component, _architectures(task, inputs), measures=task.traits.measures),
            "registry": self.registry if task.traits.registry else "",
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    def directory(self, task: TaskSpec, key: str) -> Path:
        """Where a task's outputs go; whichever variant it is made for first."""
        return self.root / f"{task.component}-{key[:16]}"

    def find(self, directory: Path) -> Finished | None:
        """A finished task with all its outputs as they were made, or None where none has finished.

        Raises:
            DamagedOutput: an output is missing or changed.
        """
        try:
            content = json.loads((directory / DONE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise DamagedOutput(f"{directory / DONE} can't be read") from None
        try:
            if content.pop("checksum") != _checksum(content):
                raise DamagedOutput(f"{directory / DONE} was changed")
            finished = Finished(
                {
                    name: {**output, "uri": str(directory / output["uri"])}
                    for name, output in content["outputs"].items()
                },
                float(content["seconds"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedOutput(f"{directory / DONE} is not what a task leaves") from None
        for output in finished.outputs.values():
            _check(Path(output["uri"]), output)
        return finished

    def forget_registrations(self, name: str, versions: Collection[int]) -> None:
        """Have whatever was registered under a name, and is not among these versions any more, be registered again."""
        for done in self.root.glob(f"{REGISTER}-*/{DONE}"):
            try:
                made = json.loads((done.parent / REGISTRATION).read_text(encoding="utf-8"))
                lost = made["name"] == name and made["version"] not in versions
            except (OSError, ValueError, KeyError, TypeError):
                continue  # damaged, which `find` notices
            if lost:
                done.unlink(missing_ok=True)

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
        """Declare a task's outputs complete; they survive a power cut from here on."""
        for output in outputs.values():
            place = Path(output["uri"])
            files.sync(place)
            output.update(digest=content_digest(place), bytes=_size(place))
        # Relative names: a home that is moved or copied keeps its own outputs.
        stored = {
            name: {**output, "uri": str(Path(output["uri"]).relative_to(directory))} for name, output in outputs.items()
        }
        content = {"outputs": stored, "seconds": seconds}
        files.write_text(directory / DONE, json.dumps({**content, "checksum": _checksum(content)}, indent=1))
        shutil.rmtree(directory / "checkpoint", ignore_errors=True)
        return Finished(outputs, seconds)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check(place: Path, made: Mapping[str, Any]) -> None:
    """Compare an output with what was made: its size first, which tells most damage at once."""
    if not place.exists():
        raise DamagedOutput(f"{place} is missing")
    size = _size(place)
    if size != made["bytes"]:
        raise DamagedOutput(f"{place} has {size} bytes, and had {made['bytes']} when it was made")
    if content_digest(place) != made["digest"]:
        raise DamagedOutput(f"{place} does not match its checksum")


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def reads_remote(task: TaskSpec) -> bool:
    """Whether a task reads something that can change without a file on this machine changing."""
    return any(is_s3(place) for place in _outside(task))


def _outside_digest(task: TaskSpec) -> list[str]:
    """Content of the files and folders on this machine, but outside the home, that a task reads."""
    return [content_digest(expanded(place)) for place in _outside(task) if not is_s3(place)]


def _outside(task: TaskSpec) -> list[str]:
    """The places outside the home that a task reads, by its component's parameters."""
    return [place for name, mark in task.traits.places.items() for place in mark.places(task.constants.get(name))]


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of a directory's files with their names; empty where there is nothing."""
    if path.is_file():
        return files.sha256_of(path)
    sha = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else ():
        if file.is_file():
            sha.update(f"{file.relative_to(path)} {files.sha256_of(file)}\n".encode())
    return sha.hexdigest()


def _architectures(task: TaskSpec, inputs: Mapping[str, Mapping[str, Any]]) -> frozenset[str] | None:
    """The architectures of the networks that a task builds; None where they can't be told."""
    if not task.traits.networks:
        return frozenset()
    # What makes a model says its architecture; a deployable, which no network is built of, has none.
    named = [artifact["metadata"].get("architecture") for artifact in inputs.values() if artifact["type"] == MODEL]
    named += [_architecture_at(place) for place in _outside(task)]
    if task.component in listed(TECHNIQUES):
        for field, info in technique_class(task.component).model_fields.items():
            if any(isinstance(mark, ArchitectureName) for mark in info.metadata):
                named.append(task.constants.get(field) or "")
    elif "architecture" in task.constants:
        named.append(task.constants["architecture"])
    return None if None in named else frozenset(named)


def _architecture_at(place: str) -> str | None:
    """The architecture of the model artifact in a folder on this machine."""
    from paddlepress.artifact import manifest

    if is_s3(place):
        return None
    try:
        return manifest.read(expanded(place)).architecture.name
    except PaddlepressError:
        return None
