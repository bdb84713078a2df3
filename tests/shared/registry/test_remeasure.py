"""A champion of yesterday beside the base model of today."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from paddlepress.artifact import manifest as manifests
from paddlepress.core.errors import ArtifactError
from paddlepress.deployment import bundle
from paddlepress.evaluation.result import Evaluation
from paddlepress.registry.catalogue import versions
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.policy import Policy
from paddlepress.registry.promotion import promote
from paddlepress.registry.remeasure import remeasure
from paddlepress.report.comparison import DEPOSED, EARLIER, OUTDATED, compare, decided

NAME = "digits"
SMALLEST = Objective(minimize="bytes")
GATES = (Gate(metric="accuracy", at_least=10), Gate(metric="drop", at_most=0.3))


@pytest.fixture
def broken(client: Any, home: Path, variants: dict[str, Any]) -> dict[str, Any]:
    """A champion made from a base model that was replaced since, and what was registered after it."""
    base, student = variants["base"], variants["student"]
    old = student.evaluation.model_copy(
        update={"base_digest": "broken", "metrics": {**_figures(student), "bytes": 9.0}}
    )
    type(student)(**{**vars(student), "evaluation": old, "name": "tiny"}).register(client, recipe_digest="old")
    promote(client, home, NAME, Policy(gates=GATES, objective=SMALLEST))
    for variant in (base, student):
        variant.register(client, recipe_digest="new")
    return variants


def _figures(variant: Any) -> dict[str, float]:
    return {**variant.evaluation.metrics, "drop": 0.0}


def _measure(client: Any, base: Any, measure: Any) -> Any:
    digest = base.evaluation.model_digest
    return remeasure(client, NAME, base_digest=digest, test_data_digest="test-1", measure=measure)


def test_a_worse_champion_is_measured_deposed_and_shown(client: Any, home: Path, broken: dict[str, Any]) -> None:
    """Its small size does not save a champion that loses too much beside today's base; the reason is shown."""
    base, student = broken["base"], broken["student"]
    asked: list[tuple[Path, Path]] = []

    def measure(model: Path, deployable: Path) -> Evaluation:
        assert manifests.read(model).digest == bundle.read_manifest(deployable).digest == before.model_digest
        asked.append((model, deployable))
        return student.evaluation.model_copy(update={"metrics": {**_figures(student), "drop": 9.0, "bytes": 9.0}})

    before = versions(client, NAME)[0]
    assert _measure(client, base, measure).metrics["drop"] == 9.0
    assert _measure(client, base, measure) is None and len(asked) == 1  # once is enough
    after = versions(client, NAME)[0]
    assert (after.metrics, after.base_digest) == (before.metrics, "broken")  # what it was registered with stays
    policy = Policy(gates=GATES, objective=SMALLEST, variants={"base": "new", "student": "new"})

    report = compare(client, NAME, GATES, SMALLEST, variants=["base", "student"])
    row = report.variants[-1]
    assert (row.variant, row.note, row.figure("drop")) == ("tiny", EARLIER, 9.0)
    assert "champion" in row.aliases
    assert [gate.text for gate in row.gates if not gate.passed] == ["drop 9 points is above its limit of 0.3"]

    decision = promote(client, home, NAME, policy)
    assert (decision.action, decision.variant) == ("promoted", "student")
    assert decision.reason.endswith("tiny (version 1), which fails today: drop 9 points is above its limit of 0.3")
    assert decided(report, json.loads(decision.json())).variants[-1].note == DEPOSED
    report = compare(client, NAME, GATES, SMALLEST, variants=["base", "student"])
    assert [(row.variant, row.note) for row in report.variants] == [("base", ""), ("student", ""), ("tiny", DEPOSED)]
    assert promote(client, home, NAME, policy).action == "kept"


def test_a_champion_that_cannot_be_measured_fails(client: Any, home: Path, broken: dict[str, Any]) -> None:
    """A champion whose files are gone, or whose files can't be evaluated, is deposed with that reason."""

    def measure(model: Path, deployable: Path) -> Evaluation:
        raise ArtifactError("made by\nanother version")

    assert _measure(client, broken["base"], measure).failure == "made by another version"
    for path in [path.parent for path in home.rglob("MLmodel")]:
        shutil.rmtree(path)
    assert "the files of version 1 of 'digits' " in _measure(client, broken["base"], measure).failure
    row = compare(client, NAME, GATES, SMALLEST, variants=["base", "student"]).variants[-1]
    assert [gate.metric for gate in row.gates] == [OUTDATED]
    policy = Policy(gates=GATES, objective=SMALLEST, variants={"base": "new", "student": "new"})
    assert "can't be again: the files of version 1 of 'digits' " in promote(client, home, NAME, policy).reason


def test_without_a_champion_nothing_is_measured(client: Any, variants: dict[str, Any]) -> None:
    """Where nothing reigns there is nothing to judge."""
    variants["base"].register(client)
    assert _measure(client, variants["base"], None) is None
