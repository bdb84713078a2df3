"""Every network of the zoo, cut to half of its multiply-accumulates: it is smaller, right, and deployable."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from networks import CASES, Case, build, images, label
from surgical import assert_same_as_silenced

from paddlepress.artifact import store
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network import edits
from paddlepress.network.model import Model
from paddlepress.surgery.budget import Budget, reach
from paddlepress.surgery.graph import Graph, Group, narrow_all, trace
from paddlepress.surgery.macs import macs

SHARE = 0.5

KeptUnits = dict[str, np.ndarray[Any, Any]]


@dataclass
class Cut:
    """A network before and after."""

    case: Case
    before: Model
    graph: Graph
    keep: KeptUnits
    after: Model


@pytest.fixture(scope="module", params=CASES, ids=label)
def cut(request: pytest.FixtureRequest) -> Cut:
    case: Case = request.param
    before = build(case)
    graph = trace(before)
    groups = [group for group in graph.groups if group.kind in case.kinds]
    scores = {group.name: importance(before, group) for group in groups}

    def choose(ratio: float) -> KeptUnits:
        counts = {name: max(1, round(len(score) * (1 - ratio))) for name, score in scores.items()}
        return {name: np.sort(np.argsort(-score, kind="stable")[: counts[name]]) for name, score in scores.items()}

    keep = reach(Budget(before, graph), choose, SHARE)
    return Cut(case, before, graph, keep, narrow_all(before.copy(), keep, graph))


def importance(model: Model, group: Group) -> np.ndarray[Any, Any]:
    """The sum of magnitudes of everything that a unit owns."""
    found = np.zeros(group.units)
    for part in group.slices:
        value = np.abs(edits.parameter(model.network, part.parameter).numpy())
        along = value.sum(tuple(axis for axis in range(value.ndim) if axis != part.axis))
        found += along[part.indices].sum(1)
    return found


def test_macs_fall_to_what_was_asked(cut: Cut) -> None:
    """Counted anew on the narrowed network; every kind that was to be cut is."""
    before, after = sum(macs(cut.before).values()), sum(macs(cut.after).values())
    assert after == pytest.approx(SHARE * before, rel=0.05)
    units = {group.name: group.units for group in cut.graph.groups}
    shrunk = [cut.graph.group(name) for name, kept in cut.keep.items() if len(kept) < units[name]]
    assert {group.kind for group in shrunk if group is not None} == set(cut.case.kinds)


def test_same_as_silenced(cut: Cut) -> None:
    """Where no normalization spans the units, the original with them silenced computes the same."""
    groups = {group.name: group for group in cut.graph.groups}
    keep = {name: kept for name, kept in cut.keep.items() if not groups[name].mixed}
    assert keep
    after = narrow_all(cut.before.copy(), keep, cut.graph)
    assert_same_as_silenced(cut.before.copy(), groups, keep, after)
    if len(keep) < len(cut.keep):  # with the statistics of those norms held fixed
        assert_same_as_silenced(cut.before.copy(), groups, cut.keep, cut.after)


def test_batches(cut: Cut) -> None:
    """An input gives what it gives in a batch of others."""
    x = images(cut.case, 3)
    together = cut.after.predict(x)
    alone = np.concatenate([cut.after.predict(x[i : i + 1]) for i in range(3)])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(alone, together, atol=1e-4 * scale(together))


def test_training(cut: Cut) -> None:
    """Every weight that can be trained gets a gradient of its shape."""
    import paddle

    model = cut.after.copy()
    model.network.train()
    x, y = paddle.to_tensor(images(cut.case, 4)), paddle.to_tensor([0, 1, 2, 3])
    paddle.nn.functional.cross_entropy(model.network(x), y).backward()
    trainable = {name: p for name, p in model.network.named_parameters() if not p.stop_gradient}
    assert len(trainable) == sum(not p.stop_gradient for p in cut.before.network.parameters())
    for name, parameter in trainable.items():
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape
        assert np.isfinite(parameter.grad.numpy()).all()


def test_saved_and_deployed(cut: Cut, tmp_path: Path) -> None:
    """The artifact reloads bit-equal, and the deployable computes the same to 1e-4, at any batch size."""
    x = images(cut.case, 3)
    expected = cut.after.predict(x)
    store.save(cut.after, tmp_path / "model")
    assert np.array_equal(store.load(tmp_path / "model").predict(x), expected)
    export(cut.after, tmp_path / "model", tmp_path / "deployable")
    predictor = Predictor.load(tmp_path / "deployable")
    for size in (1, 3):
        np.testing.assert_allclose(predictor.predict(x, batch_size=size), expected, atol=1e-4 * scale(expected))


def scale(outputs: np.ndarray[Any, Any]) -> float:
    """The magnitude of outputs, at least 1."""
    return max(1.0, float(np.abs(outputs).max()))
