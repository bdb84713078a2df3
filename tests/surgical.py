"""Models to operate on, and what it means that a cut is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.network import architectures, edits
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.surgery.graph import Graph, narrow_all, trace
from paddlepress.surgery.groups import Group, Slice
from paddlepress.tasks import Classification, Task

compute.prepare()
from paddlepress.network.layer_kinds import output_axis  # noqa: E402
from paddlepress.surgery.fixed_norm_statistics import Statistics  # noqa: E402

Build = Callable[..., Model]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build a model of a registered architecture, or of a layer class given in its place."""
    return builder(monkeypatch)


@pytest.fixture(scope="module")
def build_shared() -> Iterator[Build]:
    """`build` for tests that hypothesis calls many times."""
    with pytest.MonkeyPatch.context() as patch:
        yield builder(patch)


def builder(monkeypatch: pytest.MonkeyPatch) -> Build:
    known: dict[str, Any] = {}
    registered = architectures.build

    def built(reference: ArchitectureRef, inputs: tuple[TensorSpec, ...], task: Task) -> Any:
        return known[reference.name]() if reference.name in known else registered(reference, inputs, task)

    def make(architecture: Any, shape: tuple[int, ...] = (3, 8, 8), classes: int = 10) -> Model:
        name = architecture
        if not isinstance(architecture, str):
            name = f"test-{len(known)}"
            known[name] = architecture
        task = Classification(classes=tuple(str(number) for number in range(classes)))
        model = Model.build(ArchitectureRef(name=name), (TensorSpec(name="x", shape=shape),), task)
        randomise(model)
        return model

    monkeypatch.setattr(architectures, "build", built)
    return make


def randomise(model: Model, seed: int = 0) -> None:
    """Give norms statistics of their own and biases values, so that a cut at a wrong place shows."""
    random = np.random.default_rng(seed)
    for name, parameter in model.network.named_parameters():
        if len(parameter.shape) == 1:
            positive = name.endswith(("_variance", ".weight", ".scale"))
            low, high = (0.5, 1.5) if positive else (-0.2, 0.2)
            parameter.set_value(random.uniform(low, high, parameter.shape).astype(np.float32))


def images(model: Model, count: int = 3, seed: int = 1) -> np.ndarray[Any, Any]:
    """Random inputs for a model."""
    shape = (count, *model.inputs[0].shape)
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def random_units(group: Group, seed: int = 2) -> np.ndarray[Any, Any]:
    """About two thirds of a group's units, scattered."""
    random = np.random.default_rng(seed + group.units)
    return np.sort(random.choice(group.units, size=max(1, group.units * 2 // 3), replace=False))


def silence(model: Model, group: Group, keep: np.ndarray[Any, Any]) -> None:
    """Zero the removed units where they are made: producers' weights and biases, norms' scale and shift."""
    lost = np.setdiff1d(np.arange(group.units), keep)
    for part in group.slices:
        if part.parameter.endswith(("._mean", "._variance")) or not _made(model, part):
            continue
        parameter = edits.parameter(model.network, part.parameter)
        value = np.array(parameter.numpy())
        np.moveaxis(value, part.axis, 0)[part.indices[lost].reshape(-1)] = 0
        parameter.set_value(value)


def _made(model: Model, part: Slice) -> bool:
    """Whether a layer makes units along an axis of its parameter, rather than reading them."""
    from paddle import nn
    from paddle.nn.layer.conv import _ConvNd
    from paddle.nn.layer.rnn import RNNBase

    layer = edits.find(model.network, part.parameter.rpartition(".")[0])
    if isinstance(layer, RNNBase):
        return part.axis == 0
    if isinstance(layer, _ConvNd | nn.Linear | nn.Embedding) and part.parameter.endswith("weight"):
        return part.axis == output_axis(layer) or getattr(layer, "_groups", 1) == layer.weight.shape[0]
    return True


def assert_same_as_silenced(
    before: Model, groups: Mapping[str, Group], keep: Mapping[str, np.ndarray[Any, Any]], after: Model
) -> None:
    """The narrowed model gives what the original gives with the removed units silenced.

    Norms that span removed units take the same statistics in both.
    """
    for name, kept in keep.items():
        silence(before, groups[name], kept)
    x = images(before)
    statistics = Statistics()
    cut = [groups[name] for name in keep]
    with statistics.used(before.network, cut):
        expected = before.predict(x)
    with statistics.used(after.network, cut):
        got = after.predict(x)
    assert np.isfinite(expected).all()
    assert expected.std() > 0
    np.testing.assert_allclose(got, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def check(model: Model) -> Graph:
    """Narrow every group of a model, and see that it computes what it should, a copy of it too."""
    graph = trace(model)
    groups = {group.name: group for group in graph.groups}
    keep = {name: random_units(group) for name, group in groups.items()}
    after = narrow_all(model.copy(), keep)
    assert_same_as_silenced(model, groups, keep, after)
    assert np.array_equal(after.copy().predict(images(model)), after.predict(images(model)))
    return graph
