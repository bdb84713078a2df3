"""Decide which version is the champion, on written grounds, and restore a former one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from paddlepress.core.errors import PromotionRefused, RegistryError, UnknownName
from paddlepress.registry import catalogue
from paddlepress.registry import history as records
from paddlepress.registry.catalogue import BASE, Row
from paddlepress.registry.current_standing import as_of, measured_elsewhere, standing
from paddlepress.registry.gates import Gate, GateResult, Objective, apart, check, number, unit
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
        deposed: why the champion before could not stay; empty where it could have.
    """

    action: Action
    promote: int | None
    variant: str
    reason: str
    champion: int | None
    previous: int | None
    challenger: int | None = None
    results: Mapping[str, Verdict] = field(default_factory=dict)
    deposed: tuple[str, ...] = ()

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
            deposed=self.deposed,
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
    vacancy: str = "",
) -> Decision:
    """Decide which of the candidates becomes champion; changes nothing.

    A candidate must pass every gate. Of those that do, the best by the objective replaces the champion if it is
    strictly better, or if the champion itself fails today: it misses a gate, or its figures were not measured beside
    the newest base model on its test data. A champion that fails is no reference for gates against the champion. A
    version that was rolled back is promoted again only by name, and only metrics measured beside the newest base on
    its test data are compared. A variant asked for by name becomes champion if it passes, better or not. The base is a
    candidate only by name.

    Args:
        candidates: the newest version of each variant.
        base: the newest version of the uncompressed model, for gates against it.
        champion: the reigning champion.
        gates: what a candidate must fulfil.
        objective: what makes one candidate better than another.
        variant: the one variant to consider.
        deposed: versions that were rolled back, and when.
        vacancy: why there is no champion, if there was one before.

    Raises:
        UnknownName: `variant` is none of the candidates.
    """
    candidates = catalogue.with_paired_latency([as_of(row, base) for row in candidates], base)
    reigning = standing(champion, base, gates) if champion is not None else None
    champion = reigning.row if reigning is not None else None
    failures = reigning.failures if reigning is not None else ()
    considered = [row for row in candidates if row.variant == variant or (variant is None and row.variant != BASE)]
    if variant is not None and not considered:
        raise UnknownName("variant", variant, (row.variant for row in candidates))
    barred = {} if variant is not None else deposed or {}
    rival = champion if not failures else None
    verdicts = {row.variant: _judge(row, base, rival, gates, objective, variant, barred) for row in considered}
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
            deposed=failures if promoted is not None else (),
        )

    if best is None:
        return decision("refused", leader, _why_none(verdicts, variant, champion, failures))
    if champion is None:
        place = f"becomes champion, for {vacancy}" if vacancy else "is the first champion"
        return decision("promoted", best, f"{_named(best)} {place}: {_merit(best, passing, objective)}")
    if best.version == champion.version:
        return decision("kept", best, f"{_named(best)} stays champion: {_merit(best, passing, objective)}")
    if variant is not None:
        return decision("promoted", best, f"{_named(best)} was asked for by name and passes every gate")
    if failures:
        why = "; ".join(failures)
        return decision("promoted", best, f"{_named(best)} replaces {_named(champion)}, which fails today: {why}")
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
        records.catch_up(client, name)
        known = catalogue.versions(client, name)
        champion = _champion(client, name)
        past = records.history(client, name)
        candidates = catalogue.newest(known if variant is not None else _of_policy(known, policy))
        base = next((row for row in (*candidates, *catalogue.newest(known)) if row.variant == BASE), None)
        decision = decide(
            candidates, base, champion, policy.gates, policy.objective, variant, records.deposed(past), _vacancy(past)
        )
        records.carry_out(client, name, decision.entry())
    if variant is not None and decision.action == "refused":
        raise PromotionRefused(decision.reason)
    return decision


def rollback(client: MlflowClient, home: Path, name: str) -> Decision:
    """Restore the champion before the present one; again, and it goes one further back.

    Where somebody took the alias or deleted the champion by hand, the last one that is still there is restored. The
    version that loses its place is not promoted again except by name. Locks as `promote` does.

    Raises:
        UnknownName: no such registered model.
        RegistryError: there never was a champion, or none before it is left.
    """
    with exclusive(client, home):
        records.catch_up(client, name)
        champion = _champion(client, name)
        known = {row.version: row for row in catalogue.versions(client, name)}
        reigns = records.champions(records.history(client, name))
        if champion is None and not reigns:
            raise RegistryError(f"{name} has no champion to roll back")
        gone = [version for version in reigns if version not in known]
        while reigns and (reigns[-1] not in known or (champion is not None and reigns[-1] == champion.version)):
            reigns.pop()
        if not reigns:
            raise RegistryError(_none_before(name, champion, gone))
        former = known[reigns[-1]]
        lost = f", {_named(champion)} was rolled back" if champion is not None else ""
        decision = Decision(
            action="rolled-back",
            promote=former.version,
            variant=former.variant,
            reason=f"{_named(former)} is champion again{lost}",
            champion=former.version,
            previous=champion.version if champion is not None else None,
        )
        records.carry_out(client, name, decision.entry())
    return decision


def _vacancy(past: Sequence[Entry]) -> str:
    """Why there is no champion now, if there was one."""
    reigns = records.champions(past)
    if not reigns:
        return ""
    last = past[-1]
    return last.reason if last.action == "moved" else f"there is none since version {reigns[-1]}"


def _none_before(name: str, champion: Row | None, gone: Sequence[int]) -> str:
    were = f"version{'s' if len(gone) > 1 else ''} {', '.join(map(str, gone))}"
    if champion is None:
        return f"no former champion of {name} is left to go back to: {were} was deleted"
    if gone:
        return f"no champion of {name} before {_named(champion)} is left to go back to: {were} was deleted"
    return f"{_named(champion)} is the first champion of {name}: there is none to go back to"


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
            f"the champion of {name} is version {number}, which paddlepress did not register or whose tags can't be "
            f"read. Run the recipe that made it, or move the alias {CHAMPION!r} or delete it"
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
    objection = measured_elsewhere(row, base)
    if objection:
        pass
    elif row.version in barred:
        objection = f"version {row.version} was rolled back on {barred[row.version]:%Y-%m-%d}: promote it by name"
    elif variant is None and objective.score(row.metrics) is None:
        why = f" ({row.missing[objective.metric]})" if objective.metric in row.missing else ""
        objection = f"{objective.metric}, which decides, was not measured{why}"
    return Verdict(row.variant, row.version, tuple(results), objection)


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
    better, worse = apart(best.metrics[metric], champion.metrics[metric])
    values = f"{metric} {better}{unit(metric)} against {worse}{caution}"
    if mine > theirs:
        return decision("promoted", best, f"{_named(best)} is better than {_named(champion)}: {values}")
    return decision("kept", champion, f"{_named(champion)} stays champion: {_named(best)} is no better, {values}")


def _why_none(
    verdicts: Mapping[str, Verdict], variant: str | None, champion: Row | None, failing: Sequence[str]
) -> str:
    if not verdicts:
        return "there is no variant to promote"
    failures = "; ".join(f"{verdict.variant}: {verdict.obstacles}" for verdict in verdicts.values())
    if variant is not None:
        return f"{failures}"
    stays = f", and {_named(champion)} stays champion" if champion is not None else ""
    if failing:
        stays += f" though it fails too ({'; '.join(failing)})"
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
