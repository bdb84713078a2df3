"""What a version is worth today: its figures beside the newest base model's, and the gates that stand now.

Drop, ratio, speed-up and agreement compare a version with the base model of its day, on the test data of its day. Where
either has changed since, they say nothing: they are measured again, or the version counts as failing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddlepress.registry import catalogue
from paddlepress.registry.catalogue import Row
from paddlepress.registry.gates import Gate, GateResult, check


@dataclass(frozen=True)
class Standing:
    """A champion as it stands today.

    Attributes:
        row: the version, with the figures that it is judged by.
        results: what each gate says of it; those against the champion are left out.
        objection: why its figures can't be judged; empty where they can.
    """

    row: Row
    results: tuple[GateResult, ...]
    objection: str = ""

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it may not stay, in words; empty where it may."""
        missed = (result.text for result in self.results if not result.passed)
        return (self.objection,) if self.objection else tuple(missed)


def standing(champion: Row, base: Row | None, gates: Sequence[Gate]) -> Standing:
    """Judge a champion by today's gates, beside today's base model.

    Args:
        champion: the version.
        base: the newest version of the uncompressed model; None leaves out the gates against it.
        gates: the recipe's.
    """
    objection = measured_elsewhere(champion, base)
    if objection:
        return Standing(champion, (), objection)
    (row,) = catalogue.with_paired_latency([as_of(champion, base)], base)
    asked = [gate for gate in gates if gate.against != "champion" and (base is not None or not gate.against)]
    found = check(asked, row.metrics, base.metrics if base is not None else None, None, row.missing)
    return Standing(row, tuple(found))


def as_of(row: Row, base: Row | None) -> Row:
    """A version with the figures that were measured beside a base model, should it have been measured again."""
    again = row.remeasured
    if again is None or again.failure or not _beside(again.base_digest, again.test_data_digest, base):
        return row
    facts = again.model_dump(include={"metrics", "missing", "base_digest", "test_data_digest"})
    return row.model_copy(update=facts)


def measured_elsewhere(row: Row, base: Row | None) -> str:
    """Why a version's figures can't be compared with a base model's; empty where they can."""
    now = as_of(row, base)
    if _beside(now.base_digest, now.test_data_digest, base):
        return ""
    assert base is not None
    what = "on other data than" if now.test_data_digest != base.test_data_digest else "beside another base model than"
    again = row.remeasured
    if again is not None and again.failure and _beside(again.base_digest, again.test_data_digest, base):
        return f"it was measured {what} version {base.version}, the newest base, and can't be again: {again.failure}"
    return f"it was measured {what} version {base.version}, the newest base: run the recipe again"


def _beside(base_digest: str, test_data_digest: str, base: Row | None) -> bool:
    if base is None:
        return True
    # Versions that were registered before base models were noted have no digest of theirs.
    same = not base_digest or not base.model_digest or base_digest == base.model_digest
    return same and test_data_digest == base.test_data_digest
