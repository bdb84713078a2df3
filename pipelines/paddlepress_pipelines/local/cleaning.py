"""What may go from a home directory: old runs, what nothing needs of the cache, and what killed processes left."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddlepress.core.errors import UsageError, shown
from paddlepress_pipelines.local import runs
from paddlepress_pipelines.local.record import RECORD
from paddlepress_pipelines.local.run import locked

_AGE = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ABANDONED_S = 86_400.0
"""Temporary files of this age belong to no process that is at work."""
_SCRATCH = re.compile("paddlepress-[a-z0-9_]{8}")
"""How `tempfile` names the folders that are asked of it here: nothing that a person named goes."""
_HALF_WRITTEN = re.compile(r"\..+\.[a-z0-9_]{8}")
"""How `files.replacing` names the folders in which it writes."""


@dataclass(frozen=True)
class Leftover:
    """A folder or file that may go.

    Attributes:
        path: where it is.
        kind: `run`, `cache` or `temporary`.
        why: in words.
        bytes: on the disk.
    """

    path: Path
    kind: str
    why: str
    bytes: int


def seconds_of(age: str, origin: str = "--older-than") -> float:
    """An age such as `30d` in seconds.

    Raises:
        UsageError: it is none.
    """
    found = _AGE.fullmatch(age.strip())
    if found is None:
        raise UsageError(
            f"{origin} {shown(age)} is no age. Valid: a whole number and a unit, which is s, m, h, d or w, such as 30d"
        )
    return float(found[1]) * _UNITS[found[2]]


def leftovers(home: Path, older_than_s: float) -> list[Leftover]:
    """What may go, the largest first.

    A recipe's newest run stays, however old it is, and of the cache all that runs which stay have made or used: so do
    the models that `paddlepress show RECIPE/VARIANT` finds, and the same recipe makes nothing again. The registry has
    copies of its own, and is not touched. A task that was not finished keeps its checkpoint until it is old.

    Args:
        home: the home directory.
        older_than_s: what was used since then stays.
    """
    now = time.time()
    old = list(_old_runs(home, now - older_than_s))
    kept = [run for run in runs.listed(home) if run.id not in {path.name for path in old}]
    used = {entry for run in kept for entry in _cache_entries(home, run)}
    damaged = [run.id for run in kept if run.state == "damaged"]
    found = [Leftover(path, "run", f"older than {_days(older_than_s)}", _size(path)) for path in old]
    for folder in (home / "runs").glob("[!.]*"):
        if not (folder / RECORD).exists() and _newest(folder) < now - _ABANDONED_S:
            found.append(Leftover(folder, "run", "without a record", _size(folder)))
    for entry in (home / "cache").glob("[!.]*"):
        # Whoever can't tell what a run used must not take anything from it.
        if entry.name not in used and not damaged and _newest(entry) < now - older_than_s:
            found.append(Leftover(entry, "cache", "no run that stays has used it", _size(entry)))
    for path, why in _temporary(home, now):
        found.append(Leftover(path, "temporary", why, _size(path)))
    return sorted(found, key=lambda one: (-one.bytes, str(one.path)))


def clean(home: Path, older_than_s: float) -> list[Leftover]:
    """Remove what may go; gives what has gone.

    Raises:
        RunInUse: a run is at work in `home`.
    """
    with locked(home):
        found = leftovers(home, older_than_s)
        for one in found:
            _remove(one.path)
    return found


def _old_runs(home: Path, before: float) -> Iterator[Path]:
    """The folders of runs that ended before a time, but the newest of each recipe and the newest that made models."""
    newest: set[tuple[str, bool]] = set()
    for run in runs.listed(home):
        folder = home / "runs" / run.id
        if run.state == "running":
            continue
        finished = run.state == "done"
        first = {(run.recipe, True), (run.recipe, False)} - newest if finished else {(run.recipe, False)} - newest
        newest |= first
        if not first and (folder / RECORD).stat().st_mtime < before:
            yield folder


def _cache_entries(home: Path, run: runs.Run) -> Iterator[str]:
    """The folders of the cache that a run has made or used, by its record."""
    try:
        content: dict[str, Any] = json.loads((home / "runs" / run.id / RECORD).read_text(encoding="utf-8"))
        places = [*content.get("models", {}).values()]
        places += [uri for task in content["tasks"].values() for uri in task.get("outputs", {}).values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    for place in places:
        # Absolute as it was when the run was made: a home may have been moved since.
        parts = Path(str(place)).parts
        if "cache" in parts:
            yield from parts[len(parts) - parts[::-1].index("cache") :][:1]


def _temporary(home: Path, now: float) -> Iterator[tuple[Path, str]]:
    """What processes that were killed left, in the home and in the system's folder for temporary files."""
    if (home / "tmp").is_dir() and not runs.running(home):
        yield home / "tmp", "of a run that was killed"
    for folder in (home, home / "runs", home / "reports", home / "cache", *(home / "runs").glob("*")):
        for path in folder.glob(".*.*"):
            if _HALF_WRITTEN.fullmatch(path.name) and path.is_dir() and _newest(path) < now - _ABANDONED_S:
                yield path, "half written"
    for path in Path(tempfile.gettempdir()).iterdir():
        if not _SCRATCH.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        mine = next((one.st_uid for one in _found(path)), -1) == os.getuid()
        if mine and _newest(path) < now - _ABANDONED_S:
            yield path, "of a process that was killed"


def _newest(path: Path) -> float:
    """When something in a folder was last written, or the folder itself."""
    return max((found.st_mtime for found in _found(path)), default=0.0)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(found.st_size for found in _found(path) if not stat.S_ISDIR(found.st_mode))


def _found(path: Path) -> Iterator[os.stat_result]:
    """What is known of a file, or of a folder and all that is in it; others may take away some of it meanwhile."""
    for one in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(FileNotFoundError):
            yield one.lstat()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # First under another name: what is half removed must not be taken for a whole.
        going = path.with_name(f".{path.name}.removed0")
        path.rename(going)
        shutil.rmtree(going)
    else:
        path.unlink(missing_ok=True)


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:g} days" if seconds >= 86_400 else f"{seconds:g} s"
