"""Nothing changed in an artifact, a deployable, a data set or a recipe breaks what reads it, or goes unnoticed.

`make benchmark-mutants` tries ten times as many.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import judge, run, seeds

COUNTS = {"model": 920, "deployable": 640, "data": 400, "recipe": 40}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    seeds.make(folder)
    return folder


@pytest.mark.parametrize("target", seeds.TARGETS)
def test_mutants_are_refused_or_change_nothing(target: str, whole: Path) -> None:
    """Each is refused in one line, gives what the original gives, or is another by its own digest; see `mutants`."""
    found = list(run.results(target, whole, 0, COUNTS[target]))
    assert [result for result in found if result.outcome in judge.FAULTS] == []
    assert len(found) == COUNTS[target]
    assert sum(result.outcome == "refused" for result in found) > len(found) / 2
