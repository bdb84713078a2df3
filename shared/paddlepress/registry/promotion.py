"""Decide which version is the champion, on written grounds, and restore a former one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from paddlepress.errors import PromotionRefused, RegistryError, UnknownName
from paddlepress.registry import catalogue
from paddlepress.registry import history as records
from paddlepress.registry.catalogue import BASE, Row
from paddlepress.registry.gates import Gate, GateResult, Objective, check, number, unit
from paddlepress.registry.history import CHAMPION, Action, Entry
from paddlepress.registry.locking import exclusive
from paddlepress.registry.policy import Policy

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Verdict:
    """What was said of one candidate.

    Attributes:
        variant, version: which one.
        results: what each gate said.
        objection: why it can't be promoted whatever its gates say; empty if nothing stands against it.
    """

    variant: str
    version: int
    results: tuple[GateResult, ...] = ()
    objection: str = ""

    @property
    def passed(self) -> bool:
        """Whether it may be promoted."""
        return not self.objection and all(result.passed for result in self.results)

    @property
    def obstacles(self) -> str:
        """Why it may not be promoted, in words."""
        missed = [result.text for result in self.results if not result.passed]
        return "; ".join([*([self.objection] if self.objection else []), *missed])


@dataclass(frozen=True)
class Decision:
    """A decision and its grounds.

    Attributes:
        action: `promoted`, `kept` (the champion stays), `refused` (nothing may be promoted), `rolled-back`.
        promote: the version that becomes champion; None if that changes nothing.
        variant: the variant that the decision is about; empty if there is none.
        reason: why, in words.
        champion: the champion's version after the decision; None if there is none.
        previous: the champion's version before it.
        challenger: the best candidate that passes, else the best candidate; None without candidates.
        results: the verdict on each candidate by variant.
    """

    action: Action
    promote: int | None
    variant: str
    reason: str
    champion: int | None
    previous: int | None
    challenger: int | None = None
    results: Mapping[str, Verdict] = field(default_factory=dict)

    def entry(self) -> Entry:
        """The decision as it is written down."""
        verdict = self.results.get(self.variant)
        said = tuple(result.text for result in verdict.results) if verdict is not None else ()
        return Entry(
            time=records.now(),
            action=self.action,
            before=self.previous,
            after=self.champion,
            variant=self.variant,
            reason=self.reason,
            gates=said,
            challenger=self.challenger,
        )

    def json(self) -> str:
        """The decision as JSON."""
        text: str = TypeAdapter(Decision).dump_json(self, indent=1).decode()
        return text


_Maker = Callable[[Action, Row | None, str], Decision]


def decide(
    candidates: Sequence[Row],
    base: Row | None,
    champion: Row | None,
    gates: Sequence[Gate],
    objective: Objective,
    variant: str | None = None,
    deposed: Mapping[int, datetime] | None = None,
) -> Decision:
    """Decide which of the candidates becomes champion; changes nothing.

    A candidate must pass every gate. Of those that do, the best by the objective replaces the champion if it is
    strictly better, or if the champion itself misses a gate that stands on its own. A version that was rolled
    back is promoted again only by name, and only metrics measured on the base's test data are compared. A
    variant asked for by name becomes champion if it passes, better or not. The base is a candidate only by name.

    Args:
        candidates: the newest version of each variant.
        base: the newest version of the uncompressed model, for gates against it.
        champion: the reigning champion.
        gates: what a candidate must fulfil.
        objective: what makes one candidate better than another.
        variant: the one variant to consider.
        deposed: versions that were rolled back, and when.

    Raises:
        UnknownName: `variant` is none of the candidates.
    """
    candidates = catalogue.with_paired_latency(candidates, base)
    champion = next(iter(catalogue.with_paired_latency([champion] if champion else [], base)), None)
    considered = [row for row in candidates if row.variant == variant or (variant is None and row.variant != BASE)]
    if variant is not None and not considered:
        raise UnknownName("variant", variant, (row.variant for row in candidates))
    barred = {} if variant is not None else deposed or {}
    verdicts = {row.variant: _judge(row, base, champion, gates, objective, variant, barred) for row in considered}
    passing = [row for row in considered if verdicts[row.variant].passed]
    best = _best(passing, objective) or (passing[0] if passing else None)
    leader = best or _best(considered, objective) or (considered[0] if considered else None)
    reign = champion.version if champion is not None else None

    def decision(action: Action, chosen: Row | None, reason: str) -> Decision:
        promoted = chosen.version if action == "promoted" and chosen is not None else None
        return Decision(
            action=action,
            promote=promoted,
            variant=chosen.variant if chosen is not None else "",
            reason=reason,
            champion=promoted if promoted is not None else reign,
            previous=reign,
            challenger=leader.version if leader is not None else None,
            results=verdicts,
        )

    if best is None:
        return decision("refused", leader, _why_none(verdicts, variant, champion))
    if champion is None:
        return decision("promoted", best, f"{_named(best)} is the first champion: {_merit(best, passing, objective)}")
    if best.version == champion.version:
        return decision("kept", best, f"{_named(best)} stays champion: {_merit(best, passing, objective)}")
    if variant is not None:
        return decision("promoted", best, f"{_named(best)} was asked for by name and passes every gate")
    failed = [result for result in _own(champion, gates) if not result.passed]
    if failed:
        why = "; ".join(result.text for result in failed)
        return decision("promoted", best, f"{_named(best)} replaces {_named(champion)}, which misses a gate: {why}")
    return _compare(best, champion, objective, decision)


def promote(
    client: MlflowClient,
    home: Path,
    name: str,
    policy: Policy,
    variant: str | None = None,
) -> Decision:
    """Decide on a champion, set the aliases `champion` and `challenger`, and write the decision down.

    Candidates are the newest versions of the policy's variants that were made as its recipe makes them, so that
    what another recipe or an earlier run left in the registry is not promoted; by name any variant can be.

    One process at a time does this on a registry. For SQLite that holds between all processes that see its
    file, for PostgreSQL between all machines. Through an MLflow server it holds between processes that share
    `home`; two machines that promote in the same moment through a server may both write history entry n, of
    which the later stays, as does its champion: let one scheduler promote there.

    Raises:
        UnknownName: no such registered model, or no such variant.
        PromotionRefused: the `variant` asked for may not be promoted; the refusal is in the history.
    """
    with exclusive(client, home):
        records.finish(client, name)
        known = catalogue.versions(client, name)
        champion = _champion(client, name)
        gone = records.deposed(records.history(client, name))
        candidates = catalogue.newest(known if variant is not None else _of_policy(known, policy))
        base = next((row for row in (*candidates, *catalogue.newest(known)) if row.variant == BASE), None)
        decision = decide(candidates, base, champion, policy.gates, policy.objective, variant, gone)
        records.carry_out(client, name, decision.entry())
    if variant is not None and decision.action == "refused":
        raise PromotionRefused(decision.reason)
    return decision


def rollback(client: MlflowClient, home: Path, name: str) -> Decision:
    """Restore the champion before the present one; again, and it goes one further back.

    The version that loses its place is not promoted again except by name. Locks as `promote` does.

    Raises:
        UnknownName: no such registered model.
        RegistryError: there is no champion, or none before it.
    """
    with exclusive(client, home):
        records.finish(client, name)
        champion = _champion(client, name)
        if champion is None:
            raise RegistryError(f"{name} has no champion to roll back")
        known = {row.version: row for row in catalogue.versions(client, name)}
        reigns = records.champions(records.history(client, name))
        while reigns and (reigns[-1] == champion.version or reigns[-1] not in known):
            reigns.pop()
        if not reigns:
            raise RegistryError(f"{_named(champion)} is the first champion of {name}: there is none to go back to")
        former = known[reigns[-1]]
        decision = Decision(
            action="rolled-back",
            promote=former.version,
            variant=former.variant,
            reason=f"{_named(former)} is champion again, {_named(champion)} was rolled back",
            champion=former.version,
            previous=champion.version,
        )
        records.carry_out(client, name, decision.entry())
    return decision


def _of_policy(known: Sequence[Row], policy: Policy) -> list[Row]:
    """The versions that the policy's recipe made, or made again."""
    if not policy.variants:
        return list(known)
    return [row for row in known if policy.variants.get(row.variant) == row.recipe_digest]


def _champion(client: MlflowClient, name: str) -> Row | None:
    number = catalogue.model(client, name).aliases.get(CHAMPION)
    if number is None:
        return None
    found = {row.version: row for row in catalogue.versions(client, name)}
    if int(number) not in found:
        raise RegistryError(
            f"the champion of {name} is version {number}, which paddlepress did not register. "
            f"Move the alias {CHAMPION!r} or delete it"
        )
    return found[int(number)]


def _judge(
    row: Row,
    base: Row | None,
    champion: Row | None,
    gates: Sequence[Gate],
    objective: Objective,
    variant: str | None,
    barred: Mapping[int, datetime],
) -> Verdict:
    # Nothing can be better than itself: a champion is not judged by gates against the champion.
    rival = None if champion is None or champion.version == row.version else champion.metrics
    results = check(gates, row.metrics, base.metrics if base is not None else None, rival, row.missing)
    objection = ""
    if base is not None and row.test_data_digest != base.test_data_digest:
        objection = f"it was measured on other data than version {base.version}, the newest base: run the recipe again"
    elif row.version in barred:
        objection = f"version {row.version} was rolled back on {barred[row.version]:%Y-%m-%d}: promote it by name"
    elif variant is None and objective.score(row.metrics) is None:
        why = f" ({row.missing[objective.metric]})" if objective.metric in row.missing else ""
        objection = f"{objective.metric}, which decides, was not measured{why}"
    return Verdict(row.variant, row.version, tuple(results), objection)


def _own(champion: Row, gates: Sequence[Gate]) -> list[GateResult]:
    """What the gates that need no reference say of the champion."""
    return check([gate for gate in gates if not gate.against], champion.metrics, None, None, champion.missing)


def _best(rows: Sequence[Row], objective: Objective) -> Row | None:
    scored = [(score, row.version, row) for row in rows if (score := objective.score(row.metrics)) is not None]
    return max(scored, key=lambda entry: entry[:2])[2] if scored else None


def _compare(best: Row, champion: Row, objective: Objective, decision: _Maker) -> Decision:
    metric = objective.metric
    mine, theirs = objective.score(best.metrics), objective.score(champion.metrics)
    assert mine is not None  # else it would not have passed
    caution = ""
    if best.test_data_digest != champion.test_data_digest:
        caution = " (measured on other data)"
    if theirs is None:
        reason = f"{_named(best)} replaces {_named(champion)}, whose {metric} was not measured"
        return decision("promoted", best, reason)
    values = (
        f"{metric} {number(best.metrics[metric])}{unit(metric)} against {number(champion.metrics[metric])}{caution}"
    )
    if mine > theirs:
        return decision("promoted", best, f"{_named(best)} is better than {_named(champion)}: {values}")
    return decision("kept", champion, f"{_named(champion)} stays champion: {_named(best)} is no better, {values}")


def _why_none(verdicts: Mapping[str, Verdict], variant: str | None, champion: Row | None) -> str:
    if not verdicts:
        return "there is no variant to promote"
    failures = "; ".join(f"{verdict.variant}: {verdict.obstacles}" for verdict in verdicts.values())
    if variant is not None:
        return f"{failures}"
    stays = f", and {_named(champion)} stays champion" if champion is not None else ""
    return f"no variant may be promoted{stays}. {failures}"


def _merit(best: Row, passing: Sequence[Row], objective: Objective) -> str:
    value = best.metrics.get(objective.metric)
    if value is None:
        return "it passes its gates"
    others = (
        f"the {len(passing)} variants that pass their gates" if len(passing) > 1 else "the one that passes its gates"
    )
    place = f"{objective} of {others}" if len(passing) > 1 else others
    return f"{place}, {objective.metric} {number(value)}{unit(objective.metric)}"


def _named(row: Row) -> str:
    return f"{row.variant} (version {row.version})"
