"""Latency is measured in turns."""

from __future__ import annotations

import time
from itertools import pairwise

from paddlepress.evaluation.latency import interleaved


def test_a_function_against_itself_is_neither_faster_nor_slower() -> None:
    """The paired ratio of equal work is around 1."""

    def work() -> int:
        return sum(range(20_000))

    measured = interleaved(work, work, budget_s=0.2)
    assert 0.5 < measured.speedup < 2
    assert measured.low <= measured.speedup <= measured.high
    assert measured.rounds >= 5


def test_a_slower_variant_has_a_speedup_below_one() -> None:
    """The ratio is base time over variant time, and the times are in milliseconds."""
    measured = interleaved(lambda: time.sleep(0.001), lambda: time.sleep(0.01), budget_s=0.2)
    assert measured.speedup < 0.6
    assert measured.base_ms >= 1
    assert measured.variant_ms >= 10


def test_both_functions_take_turns() -> None:
    """Neither is measured in one piece after the other."""
    order: list[str] = []
    interleaved(lambda: order.append("base"), lambda: order.append("variant"), budget_s=0.05)
    measured = order[len(order) // 2 :]
    changes = sum(a != b for a, b in pairwise(measured))
    assert changes > 5
