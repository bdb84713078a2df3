"""What weights are multiplied with, before and after cuts."""

from __future__ import annotations

import numpy as np
import pytest
from surgical import Build, random_units

from paddlepress.core import compute
from paddlepress.surgery.budget import Budget
from paddlepress.surgery.graph import narrow_all, trace
from paddlepress.surgery.kernel_times import Work, load
from paddlepress.surgery.macs import macs
from paddlepress.surgery.time_estimate import estimate, uses

compute.prepare()
from paddle import nn  # noqa: E402


def test_lenet(build: Build) -> None:
    """Convolutions run over the pixels of their output, dense layers over one row."""
    found = {name: [use.work for use in every] for name, every in uses(build("lenet", (1, 28, 28))).items()}
    assert found == {
        "conv1.weight": [Work(1, 32, (3, 3), 784)],
        "conv2.weight": [Work(32, 64, (3, 3), 196)],
        "fc1.weight": [Work(3136, 128, (1, 1), 1, dense=True)],
        "fc2.weight": [Work(128, 10, (1, 1), 1, dense=True)],
    }


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vision/mobilenet_v2", (3, 64, 64)),
        ("vision/resnext50_32x4d", (3, 48, 48)),
        ("vit", (1, 16, 16)),
        ("lstm", (1, 16, 16)),
    ],
)
def test_nothing_is_left_out(name: str, shape: tuple[int, ...], build: Build) -> None:
    """The uses of all weights are the network's multiply-accumulates."""
    model = build(name, shape)
    counted = sum(use.times * use.work.macs for every in uses(model).values() for use in every)
    assert counted == sum(macs(model).values())


@pytest.mark.parametrize("name", ["lenet", "vision/mobilenet_v2"])
def test_time_after_a_cut_without_tracing(name: str, build: Build) -> None:
    """What a cut is estimated to leave of the time is the estimate for the smaller network."""
    model = build(name, (1, 28, 28) if name == "lenet" else (3, 64, 64))
    graph, kernels = trace(model), load("avx512")
    budget = Budget(model, graph, kernels)
    keep = {group.name: random_units(group) for group in graph.groups[::2]}
    assert budget.total == budget.after({}) == pytest.approx(estimate(model, kernels))
    assert budget.after(keep) == pytest.approx(estimate(narrow_all(model, keep, graph), kernels))


def test_grouped_and_transposed_convolutions_after_a_cut(build: Build) -> None:
    """Groups that lose channels, and a transposed convolution's axes, are followed."""

    def network() -> nn.Layer:
        grouped = nn.Conv2D(8, 8, 3, groups=8, padding=1)
        up = nn.Conv2DTranspose(8, 6, 2, stride=2)
        return nn.Sequential(nn.Conv2D(3, 8, 1), grouped, up, nn.Conv2D(6, 2, 1), nn.Flatten(), nn.Linear(512, 10))

    model = build(network)
    graph, kernels = trace(model), load("avx512")
    keep = {group.name: np.arange(group.units - 2) for group in graph.groups if group.units > 2}
    budget = Budget(model, graph, kernels)
    assert len(keep) >= 2
    assert budget.after(keep) == pytest.approx(estimate(narrow_all(model, keep, graph), kernels))
