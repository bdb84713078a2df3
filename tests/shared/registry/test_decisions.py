"""The rules of promotion, judged without a registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from paddlepress.core.errors import UnknownName
from paddlepress.registry.catalogue import Remeasured, Row
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.promotion import decide

MakeRow = Callable[..., Row]
GATES = (Gate(metric="drop", at_most=0.3),)
SMALLEST = Objective(minimize="bytes")


def test_the_best_that_passes_becomes_the_first_champion(row: MakeRow) -> None:
    """Of the variants that pass, the best by the objective is promoted; the base takes no part."""
    base = row("base", 1, drop=0.0, bytes=10)
    rows = [base, row("int8", 2, drop=0.1, bytes=250), row("half", 3, drop=0.2, bytes=200)]
    decision = decide(rows, base, None, GATES, SMALLEST)
    assert (decision.action, decision.promote, decision.champion, decision.challenger) == ("promoted", 3, 3, 3)
    assert "half (version 3) is the first champion: lowest bytes of the 2 variants" in decision.reason


def test_a_variant_that_misses_its_gate_is_never_promoted(row: MakeRow) -> None:
    """The smallest variant loses to one that passes, and its verdict has gate, value and limit."""
    rows = [row("int8", 2, drop=0.1, bytes=250), row("sparse", 3, drop=0.42, bytes=20)]
    decision = decide(rows, None, None, GATES, SMALLEST)
    assert decision.promote == 2
    assert not decision.results["sparse"].passed
    assert decision.results["sparse"].obstacles == "drop 0.42 points is above its limit of 0.3"


def test_when_none_passes_nothing_changes(row: MakeRow) -> None:
    """Without a variant that passes, the champion stays, the reason names each failure, the best one challenges."""
    champion = row("int8", 1, drop=0.1, bytes=250)
    rows = [row("sparse", 3, drop=0.42, bytes=20), row("half", 4, drop=0.5, bytes=10)]
    decision = decide(rows, None, champion, GATES, SMALLEST)
    assert (decision.action, decision.promote, decision.champion, decision.challenger) == ("refused", None, 1, 4)
    assert "int8 (version 1) stays champion" in decision.reason
    assert "sparse: drop 0.42 points is above its limit of 0.3" in decision.reason
    assert decide([], None, None, GATES, SMALLEST).reason == "there is no variant to promote"


@pytest.mark.parametrize(
    ("size", "action", "after"),
    [(240, "promoted", 5), (250, "kept", 1), (260, "kept", 1)],
    ids=["better", "equal", "worse"],
)
def test_only_a_better_one_replaces_the_champion(row: MakeRow, size: int, action: str, after: int) -> None:
    """A champion falls to a strictly better variant and to no other."""
    champion = row("int8", 1, drop=0.1, bytes=250)
    decision = decide([row("int8", 5, drop=0.1, bytes=size)], None, champion, GATES, SMALLEST)
    assert (decision.action, decision.champion) == (action, after)
    assert f"{size} bytes" in decision.reason or f"bytes {size}" in decision.reason


def test_the_same_champion_again_is_kept(row: MakeRow) -> None:
    """Deciding twice on the same versions keeps the champion, even with a gate that asks for more than it has."""
    champion = row("int8", 1, drop=0.1, bytes=250, accuracy=98.0)
    better = Gate(metric="accuracy", against="champion", at_least=0.1)
    decision = decide([champion], None, champion, (*GATES, better), SMALLEST)
    assert (decision.action, decision.promote, decision.champion) == ("kept", None, 1)


def test_a_champion_that_misses_its_gates_now_is_replaced(row: MakeRow) -> None:
    """After gates became stricter, a variant that passes replaces a better champion that does not."""
    champion = row("sparse", 1, drop=0.42, bytes=20)
    decision = decide([champion, row("int8", 2, drop=0.1, bytes=250)], None, champion, GATES, SMALLEST)
    assert (decision.action, decision.champion) == ("promoted", 2)
    assert "sparse (version 1), which fails today: drop 0.42 points is above" in decision.reason
    assert decision.entry().deposed == ("drop 0.42 points is above its limit of 0.3",)


def test_gates_against_the_base_are_judged_again_for_the_champion(row: MakeRow) -> None:
    """A champion keeps its place only while it passes beside the newest base, too."""
    champion = row("int8", 1, drop=0.1, bytes=20, accuracy=97.0)
    base = row("base", 2, drop=0.0, bytes=1000, accuracy=99.0)
    gates = (*GATES, Gate(metric="accuracy", against="base", at_least=-0.5))
    decision = decide([row("half", 3, drop=0.1, bytes=200, accuracy=98.9)], base, champion, gates, SMALLEST)
    assert (decision.action, decision.champion) == ("promoted", 3)
    assert "which fails today: accuracy 97 against the base's 99: a difference of -2 points" in decision.reason


def test_a_champion_of_another_base_is_judged_by_what_was_measured_again(row: MakeRow) -> None:
    """Figures beside a base model that is no longer the newest count as failing until they are measured again."""
    base = row("base", 2, drop=0.0, bytes=1000).model_copy(update={"model_digest": "good"})
    old = row("int8", 1, drop=0.1, bytes=20).model_copy(update={"base_digest": "broken"})
    new = row("half", 3, drop=0.1, bytes=200).model_copy(update={"base_digest": "good"})
    assert decide([new], base, old, GATES, SMALLEST).champion == 3
    reason = decide([new], base, old, GATES, SMALLEST).reason
    assert "which fails today: it was measured beside another base model than version 2, the newest base" in reason

    def again(**facts: object) -> Row:
        beside = {"base_digest": "good", "test_data_digest": "test-1"}
        return old.model_copy(update={"remeasured": Remeasured.model_validate({**beside, **facts})})

    still_good = decide([new], base, again(metrics={"drop": 0.2, "bytes": 20}), GATES, SMALLEST)
    assert (still_good.action, still_good.champion) == ("kept", 1)
    worse = decide([new], base, again(metrics={"drop": 9.0, "bytes": 20}), GATES, SMALLEST)
    assert (worse.champion, worse.deposed) == (3, ("drop 9 points is above its limit of 0.3",))
    lost = decide([new], base, again(failure="its files are gone"), GATES, SMALLEST)
    assert lost.champion == 3 and "can't be again: its files are gone" in lost.reason
    newer = base.model_copy(update={"model_digest": "newer"})
    assert decide([new], newer, again(metrics={"drop": 0.2, "bytes": 20}), GATES, SMALLEST).action == "refused"


def test_a_failing_champion_stays_where_nothing_passes(row: MakeRow) -> None:
    """A champion is deposed in favour of a variant that passes, and of no other; the reason says that it fails too."""
    champion = row("int8", 1, drop=9.0, bytes=20)
    decision = decide([row("half", 2, drop=5.0, bytes=200)], None, champion, GATES, SMALLEST)
    assert (decision.action, decision.champion) == ("refused", 1)
    assert "stays champion though it fails too (drop 9 points is above its limit of 0.3)" in decision.reason


def test_a_failing_champion_is_no_reference(row: MakeRow) -> None:
    """Nobody has to be as good as a champion that may not stay, however good it is in one metric."""
    champion = row("int8", 1, drop=9.0, bytes=20, accuracy=99.0)
    gates = (*GATES, Gate(metric="accuracy", against="champion", at_least=0))
    decision = decide([row("half", 2, drop=0.1, bytes=200, accuracy=98.0)], None, champion, gates, SMALLEST)
    assert decision.champion == 2


def test_a_vacant_place_is_not_a_first_one(row: MakeRow) -> None:
    """After a champion that was deleted the next is not called the first."""
    decision = decide(
        [row("half", 2, drop=0.1, bytes=200)], None, None, GATES, SMALLEST, vacancy="version 1 was deleted"
    )
    assert decision.reason.startswith("half (version 2) becomes champion, for version 1 was deleted: ")


def test_a_variant_asked_for_by_name(row: MakeRow) -> None:
    """By name a worse variant, or the base, may become champion, but only if it passes the gates."""
    base = row("base", 1, drop=0.0, bytes=1000)
    champion = row("int8", 2, drop=0.1, bytes=250)
    rows = [base, champion, row("half", 3, drop=0.2, bytes=400), row("sparse", 4, drop=0.42, bytes=20)]
    assert decide(rows, base, champion, GATES, SMALLEST, "half").champion == 3
    assert decide(rows, base, champion, GATES, SMALLEST, "base").champion == 1
    refused = decide(rows, base, champion, GATES, SMALLEST, "sparse")
    assert (refused.action, refused.champion) == ("refused", 2)
    assert refused.reason == "sparse: drop 0.42 points is above its limit of 0.3"
    with pytest.raises(UnknownName, match=r"unknown variant 'spars'\. Did you mean 'sparse'\? Valid: base, half"):
        decide(rows, base, champion, GATES, SMALLEST, "spars")


def test_what_was_rolled_back_returns_only_by_name(row: MakeRow) -> None:
    """A version that was taken out of production is not put back by the next scheduled run."""
    champion, gone = row("int8", 1, drop=0.1, bytes=250), row("half", 2, drop=0.1, bytes=200)
    past = {2: datetime(2026, 5, 4, tzinfo=UTC)}
    decision = decide([champion, gone], None, champion, GATES, SMALLEST, None, past)
    assert (decision.action, decision.champion) == ("kept", 1)
    assert "version 2 was rolled back on 2026-05-04" in decision.results["half"].obstacles
    assert decide([champion, gone], None, champion, GATES, SMALLEST, "half", past).champion == 2


def test_metrics_of_other_data_are_not_compared(row: MakeRow) -> None:
    """A variant measured on other test data than the newest base is not promoted."""
    base = row("base", 3, test_data="new", drop=0.0, bytes=1000)
    rows = [base, row("int8", 2, test_data="old", drop=0.1, bytes=250)]
    decision = decide(rows, base, None, GATES, SMALLEST)
    assert decision.action == "refused"
    assert "measured on other data" in decision.reason


def test_an_objective_that_was_not_measured(row: MakeRow) -> None:
    """A variant whose objective was not measured can't win."""
    rows = [row("int8", 2, drop=0.1, bytes=250), row("half", 3, drop=0.1)]
    decision = decide(rows, None, None, GATES, SMALLEST)
    assert decision.champion == 2
    assert decision.results["half"].obstacles == "bytes, which decides, was not measured"


def test_latencies_are_compared_by_the_paired_speed_ups(row: MakeRow) -> None:
    """A machine that was slow while one variant was measured neither fails its gate nor costs it the title."""
    base = row("base", 1, latency_b1_ms=0.2, speedup_b1=1.0)
    rows = [
        base,
        row("unlucky", 2, latency_b1_ms=0.9, speedup_b1=2.0),
        row("lucky", 3, latency_b1_ms=0.1, speedup_b1=1.25),
    ]
    gates = (Gate(metric="latency_b1_ms", at_most=0.17),)
    decision = decide(rows, base, None, gates, Objective(minimize="latency_b1_ms"))
    assert (decision.variant, decision.results["unlucky"].passed) == ("unlucky", True)
