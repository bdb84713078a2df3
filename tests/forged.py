"""Artifacts that somebody has changed, with the checksums of the files and the seals of the manifests made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddlepress.core import gzip_files, json_text, manifests


def read(path: Path) -> dict[str, Any]:
    """What a manifest says, compressed or not."""
    data = path.read_bytes()
    content: dict[str, Any] = json.loads(
        gzip_files.decompress(data, json_text.LARGEST) if path.suffix == ".gz" else data
    )
    return content


def write(path: Path, content: dict[str, Any], *, seal: bool = True) -> None:
    """Write a manifest, compressed where its name ends so."""
    text = json.dumps(manifests.sealed(content) if seal else content).encode()
    path.write_bytes(gzip_files.compress(text) if path.suffix == ".gz" else text)


def change(path: Path, **changes: Any) -> None:
    """Have a manifest say something else."""
    write(path, {**read(path), **changes})


def recheck(path: Path) -> None:
    """Give a manifest the checksums that its files have now."""
    content = read(path)
    content["files"] = {name: manifests.record(path.parent / name).model_dump() for name in content["files"]}
    write(path, content)


def edit(path: Path, function: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest in place, and seal it."""
    content = read(path)
    function(content)
    write(path, content)
