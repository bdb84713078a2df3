from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paddlepress.report import ReportData, render
from paddlepress.report.warnings import warnings

BASE = {"variant": "base", "version": "1", "metrics": {"accuracy": 99.0, "macs": 1000}}
FASTER = {"speedup_b1": 1.4, "speedup_b1_high": 1.5, "speedup_b32": 1.3, "speedup_b32_high": 1.4}
SLOWER = {"speedup_b1": 0.85, "speedup_b1_high": 0.9, "speedup_b32": 1.2, "speedup_b32_high": 1.3}


def found(make_report: Callable[..., ReportData], champion: str | None, **metrics: float) -> tuple[str, ...]:
    pruned: dict[str, Any] = {"variant": "pruned", "version": "2", "chain": [{"technique": "prune-filters"}]}
    who = {"variant": champion, "version": "2", "reason": "it is"} if champion else None
    return warnings(make_report(champion=who, variants=[BASE, pruned | {"metrics": metrics}]))


def test_fewer_operations_but_slower(make_report: Callable[..., ReportData]) -> None:
    """A variant that computes half as much and takes longer is pointed out, with the batch at which it does."""
    (text,) = found(make_report, None, macs=500, **SLOWER)
    assert text.startswith("pruned has 50.00% of the base model's MACs and is slower: 0.85× the base model's speed")
    assert "batch 1" in text and "batch 32" not in text


def test_a_slower_champion(make_report: Callable[..., ReportData]) -> None:
    """A champion that is slower than its base is pointed out whatever it computes, with the gate that prevents it."""
    (text,) = found(make_report, "pruned", macs=1000, **SLOWER)
    assert text.startswith("pruned is champion, and slower: 0.85×")
    assert "{metric: speedup_b1, at_least: 1}" in text


@pytest.mark.parametrize(
    "metrics",
    [
        {"macs": 500, **FASTER},
        {"macs": 500, **SLOWER, "speedup_b1_high": 1.01},  # a tie, as far as it was measured
        {"macs": 1000, **SLOWER},  # an int8 variant that does not pay here: its row says so
        {"macs": 500},
    ],
)
def test_no_warning_without_a_reason(make_report: Callable[..., ReportData], metrics: dict[str, float]) -> None:
    """Faster variants, ties and missing figures are no warnings, nor is a slower variant that is not promoted."""
    assert found(make_report, None, **metrics) == ()


@pytest.mark.parametrize(
    ("accuracy", "most", "warned"),
    [(11.35, 10, True), (18.9, 10, True), (25.0, 10, False), (99.0, 10, False), (91.5, 91, True), (99.0, 91, False)],
)
def test_a_base_near_chance(make_report: Callable[..., ReportData], accuracy: float, most: int, warned: bool) -> None:
    """A base model hardly better than guessing among ten classes, of which one is frequent, is told of."""
    counts = [most, *[(100 - most) // 9] * 9]
    rows = [
        {"name": str(name), "count": count, "accuracy": 0, "base_accuracy": 0, "change": 0}
        for name, count in enumerate(counts)
    ]
    base = {"variant": "base", "version": "1", "metrics": {"accuracy": accuracy}, "per_class": rows}
    said = warnings(make_report(champion=None, variants=[base]))
    assert bool(said) == warned
    assert not warned or "preprocessing" in said[0]


def test_the_page_shows_them(make_report: Callable[..., ReportData]) -> None:
    """The report has the warnings below its headline; without one there is no such part."""
    assert "filters50-int8 is champion, and slower" in render(make_report())
    assert "Look at this" not in render(make_report(champion=None, variants=[BASE]))
