"""Read a mutant as a user would, and say what became of it."""

from __future__ import annotations

import re
import resource
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mutants.mutators import Mutant
from mutants.seeds import SHAPE
from paddlepress.core.errors import PaddlepressError, UsageError

SECONDS = 5.0
"""Of computing, the most that one mutant may take."""
BYTES = 2**30
"""Of memory, the most that one mutant may take beyond what the process had."""
FAULTS = ("different", "traceback", "several lines", "slow", "memory", "crash", "hang")

_STATUS = Path("/proc/self/status")
_WANTED = re.compile(r"allocat|out of memory|MemoryError", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        outcome: see `mutants`.
        detail: the error, or where it came from.
    """

    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Reading:
    """What a reader got.

    Attributes:
        results: what is computed with: numbers by name, and structure in words.
        said: everything else that it says of itself: history, names.
        digest: its own.
    """

    results: Mapping[str, Any]
    said: Any
    digest: str

    def same_results(self, other: Reading) -> bool:
        """Whether the results are the same to the last bit."""
        return self.results.keys() == other.results.keys() and all(
            _equal(value, other.results[name]) for name, value in self.results.items()
        )


def read(target: str, folder: Path) -> Reading:
    """Read what lies in a folder, and compute with it."""
    return {"model": _model, "deployable": _deployable, "data": _data, "recipe": _recipe}[target](folder)


def judge(target: str, mutant: Mutant, folder: Path, original: Reading) -> Verdict:
    """Read a mutant that was written to a folder, and look at it as `paddlepress show` does."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    had, began = _resident("VmRSS"), time.process_time()
    verdict = _attempt(lambda: _compare(mutant, read(target, folder), original), target)
    if target in ("model", "deployable") and verdict.outcome not in FAULTS:
        shown = _attempt(lambda: _show(folder), target)
        verdict = shown if shown.outcome in FAULTS else verdict
    spent, taken = time.process_time() - began, _resident("VmHWM") - had
    if verdict.outcome not in FAULTS and spent > SECONDS:
        return Verdict("slow", f"{spent:.1f} s: {verdict.detail}")
    if verdict.outcome not in FAULTS and taken > BYTES:
        return Verdict("memory", f"{taken / 2**20:.0f} MiB: {verdict.detail}")
    return verdict


def limit_memory() -> None:
    """Have what takes more than BYTES fail, in this process from now on."""
    limit = _resident("VmSize") + BYTES + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _attempt(function: Callable[[], Verdict], target: str) -> Verdict:
    expected: type[PaddlepressError] = UsageError
    try:
        return function()
    except expected as error:
        text = str(error)
        if "\n" in text or "\r" in text:
            return Verdict("several lines", text[:300])
        if _WANTED.search(text):
            return Verdict("memory", text[:300])
        return Verdict("refused", text[:200])
    except BaseException as error:  # PanicException is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        where = [line.strip() for line in traceback.format_exc().splitlines() if "paddlepress" in line]
        return Verdict("traceback", f"{type(error).__name__}: {str(error)[:200]} {'|'.join(where[-2:])}")


def _compare(mutant: Mutant, found: Reading, original: Reading) -> Verdict:
    if not found.digest:
        return Verdict("accepted")
    if found.same_results(original):
        if found.said == original.said:
            return Verdict("same")
        return Verdict("other" if mutant.level in ("sealed", "signed") else "different", "history")
    if mutant.level == "signed" and found.digest != original.digest:
        return Verdict("other", "results")
    differing = [name for name, value in found.results.items() if not _equal(value, original.results.get(name))]
    return Verdict("different", f"level {mutant.level}: {', '.join(differing[:4])}")


def _model(folder: Path) -> Reading:
    from paddlepress.artifact import manifest, store

    about, model = manifest.read(folder), store.load(folder)
    results = {**model.state(), **_structure(about)}
    if model.inputs[0].shape in (SHAPE, SHAPE[1:]):  # a signed mutant may take what nobody wants to compute
        results["output"] = model.predict(_example(model.inputs[0].shape))
    return Reading(results, _said(about), model.digest())


def _deployable(folder: Path) -> Reading:
    from paddlepress.deployment import bundle
    from paddlepress.deployment.predictor import Predictor

    predictor = Predictor.load(folder)
    about = predictor.manifest
    example = np.ones((2, *about.inputs[0].shape), np.uint8 if about.preprocessing is not None else np.float32)
    results = {"output": predictor.predict(example), **_structure(about)}
    return Reading(results, _said(about), bundle.read_digest(folder))


def _data(folder: Path) -> Reading:
    from paddlepress.data import manifest, store

    about, stored = manifest.read(folder), store.load(folder)
    results: dict[str, Any] = {"task": stored.task, "statistics": stored.statistics, "inputs": stored.inputs}
    for name, split in stored.splits.items():
        results |= {f"{name} inputs": np.array(split.inputs), f"{name} labels": np.array(split.labels)}
    return Reading(results, (about.name,), stored.digest)


def _recipe(folder: Path) -> Reading:
    from paddlepress_pipelines.recipe.load import load

    load(folder / "recipe.yaml")
    return Reading({}, None, "")


def _show(folder: Path) -> Verdict:
    from paddlepress.evaluation.size import disk_bytes, layers

    layers(folder)
    disk_bytes(folder)
    return Verdict("same")


def _structure(about: Any) -> dict[str, Any]:
    kept = ("architecture", "inputs", "task", "preprocessing", "edits")
    return {name: getattr(about, name) for name in kept}


def _said(about: Any) -> Any:
    return about.lineage


def _example(shape: tuple[int, ...]) -> Any:
    return np.ones((2, *shape), np.float32)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    return bool(type(one) is type(other) and one == other)


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"{_STATUS} has no {field}"
    return int(found[1]) * 1024
