from __future__ import annotations

from paddlepress.evaluation.paired_latencies import paired

BASE = {"latency_b1_ms": 0.2, "latency_b32_ms": 4.0}


def test_latency_agrees_with_the_paired_speed_up() -> None:
    """Whatever the machine did between two processes: a variant as fast as the base has the base's latency."""
    measured = {"latency_b1_ms": 0.169, "speedup_b1": 1.0, "latency_b32_ms": 9.0, "speedup_b32": 2.0}
    assert paired(measured, BASE) == measured | {"latency_b1_ms": 0.2, "latency_b32_ms": 2.0}


def test_what_was_not_measured_is_left_alone() -> None:
    """Without a base, or without a speed-up, the figures are those that were measured."""
    measured = {"latency_b1_ms": 0.169, "speedup_b1": 1.0}
    assert paired(measured, None) == measured
    assert paired({"latency_b1_ms": 0.169}, BASE) == {"latency_b1_ms": 0.169}
    assert paired(measured, {}) == measured
