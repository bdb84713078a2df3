"""Cuts that leave the share of multiply-accumulates that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from surgical import Build, random_units

from paddlepress.core.errors import TechniqueRefused
from paddlepress.surgery.budget import Budget, reach
from paddlepress.surgery.graph import Graph, narrow_all, trace
from paddlepress.surgery.kernel_times import load
from paddlepress.surgery.macs import macs


def first_units(graph: Graph, step: int = 1) -> Callable[[float], dict[str, np.ndarray[Any, Any]]]:
    """Keep the first units of every group, a multiple of `step` of them."""

    def chosen(ratio: float) -> dict[str, np.ndarray[Any, Any]]:
        counts = {group.name: max(step, round(group.units * (1 - ratio) / step) * step) for group in graph.groups}
        return {group.name: np.arange(min(counts[group.name], group.units)) for group in graph.groups}

    return chosen


@pytest.mark.parametrize("name", ["lenet", "vision/squeezenet1_1", "vision/mobilenet_v3_small"])
def test_counts_without_tracing(name: str, build: Build) -> None:
    """What a cut would leave is what is counted after it."""
    model = build(name, (1, 28, 28) if name == "lenet" else (3, 64, 64))
    graph = trace(model)
    keep = {group.name: random_units(group) for group in graph.groups[::2]}
    budget = Budget(model, graph)
    assert budget.total == budget.after({}) == sum(macs(model).values())
    assert budget.after(keep) == sum(macs(narrow_all(model.copy(), keep, graph)).values())


@pytest.mark.parametrize(
    ("name", "share"), [("lenet", 0.1), ("lenet", 0.5), ("lenet", 0.9), ("vision/mobilenet_v2", 0.5)]
)
def test_reaches_what_was_asked(name: str, share: float, build: Build) -> None:
    """The network that is left has that share of the multiply-accumulates, within 5 percent of it."""
    model = build(name, (1, 28, 28) if name == "lenet" else (3, 64, 64))
    graph = trace(model)
    before = sum(macs(model).values())
    keep = reach(Budget(model, graph), first_units(graph), share)
    assert sum(macs(narrow_all(model, keep, graph)).values()) == pytest.approx(share * before, rel=0.05)


def test_coarse_steps(build: Build) -> None:
    """Where the layers step all at once, as many of them step as fit."""
    model = build("vision/squeezenet1_1", (3, 64, 64))
    graph = trace(model)
    keep = reach(Budget(model, graph), first_units(graph, step=16), 0.5)
    assert {len(kept) % 16 for kept in keep.values()} == {0}
    assert Budget(model, graph).after(keep) == pytest.approx(0.5 * Budget(model, graph).total, rel=0.05)


def test_everything_stays(build: Build) -> None:
    """The whole budget keeps every unit."""
    model = build("lenet", (1, 28, 28))
    keep = reach(Budget(model, graph := trace(model)), first_units(graph), 1.0)
    assert {name: len(kept) for name, kept in keep.items()} == {group.name: group.units for group in graph.groups}


def test_out_of_reach(build: Build) -> None:
    """A share that no cut leaves is refused with the closest one."""
    model = build("lenet", (1, 28, 28))
    graph = trace(model)
    with pytest.raises(TechniqueRefused, match=r"^20\.0% .* can't be reached .* the closest is 26\.3% \("):
        reach(Budget(model, graph), lambda ratio: first_units(graph)(ratio / 2), 0.2)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        reach(Budget(model, graph), first_units(graph), 0.0)


def test_one_layer_makes_up_for_coarse_steps(build: Build) -> None:
    """Where whole steps come too far from what was asked, a part of one is taken by one group alone."""
    model = build("lenet", (1, 28, 28))
    graph = trace(model)
    budget = Budget(model, graph)
    coarse = first_units(graph, step=32)
    with pytest.raises(TechniqueRefused, match="can't be reached"):
        reach(budget, coarse, 0.7)
    keep = reach(budget, coarse, 0.7, best=lambda name, count: np.arange(count))
    assert budget.after(keep) == pytest.approx(0.7 * budget.total, rel=0.05)
    assert sum(len(kept) % 32 > 0 for kept in keep.values()) == 1
    assert {len(kept) % 4 for kept in keep.values()} == {0}


def test_the_steps_that_are_worth_most_come_first(build: Build) -> None:
    """Of layers that step at the same place those go first that the caller prefers."""
    model = build("vision/squeezenet1_1", (3, 64, 64))
    graph = trace(model)
    budget = Budget(model, graph)
    names = [group.name for group in graph.groups]
    ends = {}
    for sign in (1, -1):
        keep = reach(
            budget, first_units(graph, step=16), 0.5, worth=lambda _, name, kept, s=sign: s * names.index(name)
        )
        assert budget.after(keep) == pytest.approx(0.5 * budget.total, rel=0.05)
        ends[sign] = {name: len(kept) for name, kept in keep.items()}
    assert ends[1] != ends[-1]


def test_of_a_time_at_most_the_share_is_left(build: Build) -> None:
    """No cut that is slower than asked is taken, and of those that are not the slowest is."""
    model = build("lenet", (1, 28, 28))
    graph = trace(model)
    budget = Budget(model, graph, load("avx512"))
    keep = reach(budget, first_units(graph, step=16), 0.6)
    assert 0.3 < budget.after(keep) / budget.total <= 0.63
    with pytest.raises(TechniqueRefused, match=r"1\.0% of the estimated time can't be reached"):
        reach(budget, first_units(graph, step=16), 0.01)
