"""Work grows with a recipe's size, not with its square. Counted in calls, which no busy machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from kfp.dsl import utils

from paddlepress_pipelines import build
from paddlepress_pipelines.build import pipeline
from paddlepress_pipelines.plan import plan
from paddlepress_pipelines.recipe import load

SIZES = (20, 40, 80)
OURS = ("/paddlepress", "/pydantic/", "/yaml/")


def recipe(folder: Path, variants: int) -> Path:
    """A recipe with chains of two steps, of which none is like another."""
    steps = (
        f"  v{number}:\n"
        f"    - prune-weights: {{sparsity: 0.{number + 100}}}\n"
        f"    - quantize-post-training: {{exclude: [v{number}]}}\n"
        for number in range(variants)
    )
    path = folder / f"{variants}.yaml"
    path.write_text("name: big\ndata: {source: digits}\nbase: {architecture: lenet}\nvariants:\n" + "".join(steps))
    return path


def calls(work: Callable[[], object]) -> int:
    """How many calls of functions of paddlepress, pydantic and PyYAML work makes."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call" and any(name in frame.f_code.co_filename for name in OURS)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def is_linear(counts: list[int]) -> bool:
    """Whether each doubling adds at most about twice what the one before added."""
    first, second, third = counts
    return third - second < 2.2 * (second - first)


def test_a_recipe_is_read_in_linear_time(tmp_path: Path) -> None:
    """Twice the variants are twice the work."""
    paths = [recipe(tmp_path, size) for size in SIZES]
    load(paths[0])  # what is imported and remembered once
    assert is_linear([calls(lambda path=path: load(path)) for path in paths])  # type: ignore[misc]


def test_many_mistakes_are_told_in_linear_time(tmp_path: Path) -> None:
    """A mistake in each variant is no more work for each than one is, and not all are told."""

    def told(path: Path) -> None:
        with pytest.raises(Exception, match="sparsity"):
            load(path)

    paths = [recipe(tmp_path, size) for size in SIZES]
    for path in paths:
        path.write_text(path.read_text().replace("sparsity: 0.", "sparsity: 7"))
    told(paths[0])
    assert is_linear([calls(lambda path=path: told(path)) for path in paths])  # type: ignore[misc]


def test_a_recipe_is_planned_in_linear_time(tmp_path: Path) -> None:
    """So is what a run on this machine begins with."""
    recipes = [load(recipe(tmp_path, size)) for size in SIZES]
    plan(recipes[0])  # the components are built once
    assert is_linear([calls(lambda one=one: plan(one)) for one in recipes])  # type: ignore[misc]


def test_a_recipe_is_compiled_in_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In all that is ours; and Kubeflow's compiler cleans each name a few times, not once for every other task."""
    rename = utils.maybe_rename_for_k8s
    cleaned = 0

    def counted(name: str) -> str:
        nonlocal cleaned
        cleaned += 1
        return str(rename(name))

    def compiled(size: int) -> tuple[int, int]:
        """The calls of our functions, and the names that were cleaned."""
        nonlocal cleaned
        one = load(recipe(tmp_path, size))
        cleaned = 0
        return calls(lambda: pipeline(one)), cleaned

    monkeypatch.setattr(utils, "maybe_rename_for_k8s", counted)
    monkeypatch.setattr(build, "MOST_TASKS", 10**6)  # each task by itself, which is more work than loops
    compiled(SIZES[0])
    ours, names = zip(*map(compiled, SIZES), strict=True)
    assert is_linear(list(ours))
    assert is_linear(list(names))
