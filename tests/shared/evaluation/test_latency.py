"""Latency is measured in turns."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from paddlepress.evaluation import latency
from paddlepress.evaluation.latency import interleaved


class Clock:
    """Time that goes by only when work is said to take some: no other process disturbs it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(latency, "time", found)
    return found


def test_a_function_against_itself_is_neither_faster_nor_slower(clock: Clock) -> None:
    """The paired ratio of equal work is 1."""
    measured = interleaved(clock.work(0.001), clock.work(0.001), budget_s=0.2)
    assert measured.speedup == pytest.approx(1)
    assert measured.low <= measured.speedup <= measured.high
    assert measured.rounds >= 5


def test_a_slower_variant_has_a_speedup_below_one(clock: Clock) -> None:
    """The ratio is base time over variant time, and the times are in milliseconds."""
    measured = interleaved(clock.work(0.001), clock.work(0.01), budget_s=0.2)
    assert measured.speedup == pytest.approx(0.1)
    assert measured.base_ms == pytest.approx(1)
    assert measured.variant_ms == pytest.approx(10)


def test_another_clock_leaves_out_what_it_does_not_see(clock: Clock) -> None:
    """By a clock of processor time, a variant that waits three times as long for a processor is no slower."""
    processor = Clock()

    def call(waiting: float) -> Callable[[], None]:
        waits, computes = clock.work(waiting + 0.001), processor.work(0.001)

        def both() -> None:
            waits()
            computes()

        return both

    measured = interleaved(call(0.001), call(0.003), budget_s=0.2, clock=processor.perf_counter)
    assert measured.speedup == pytest.approx(1)
    assert measured.base_ms == pytest.approx(1)


def test_both_functions_take_turns(clock: Clock) -> None:
    """Neither is measured in one piece after the other."""
    order: list[str] = []
    step = clock.work(0.001)
    interleaved(lambda: (order.append("base"), step()), lambda: (order.append("variant"), step()), budget_s=0.05)  # type: ignore[func-returns-value]
    measured = order[len(order) // 2 :]
    changes = sum(a != b for a, b in pairwise(measured))
    assert changes > 5


def test_measuring_ends_once_the_ratio_is_known(clock: Clock) -> None:
    """Equal calls tell the ratio after few rounds; where they vary, all of the time is used."""
    steady = interleaved(clock.work(0.001), clock.work(0.002), budget_s=1.5)
    spent = clock.now
    chance = random.Random(0)

    def varying() -> None:
        clock.now += 0.001 * chance.uniform(1, 3)

    clock.now = 0
    noisy = interleaved(clock.work(0.001), varying, budget_s=1.5)
    assert steady.rounds < 12 and spent < 1
    assert clock.now > 1.5 and noisy.rounds > steady.rounds
