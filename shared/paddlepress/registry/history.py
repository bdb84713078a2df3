"""The promotion decisions on a registered model, kept as its tags.

A decision is carried out in four steps: note it as pending, move the aliases, write it down under the next
number, clear the note. A process that dies in between leaves the note, and the next one to hold the registry
finishes what it says. So the aliases and the history can't come to disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from paddlepress.registry import tags as keys
from paddlepress.registry.catalogue import model, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
CHALLENGER = "challenger"
Action = Literal["promoted", "kept", "refused", "rolled-back", "moved"]

_REASON_LENGTH = 2000


class Entry(BaseModel):
    """One decision.

    Attributes:
        number: its place in the history, from 1.
        time: when it was made.
        action: what was decided; `moved` is what somebody did to the alias by hand, as it was found later.
        before: the champion's version before it (`from` in the tag); None if there was none.
        after: the champion's version after it (`to` in the tag); None if there is none.
        variant: the variant it was about, mostly the champion's after it.
        reason: why.
        gates: what each gate said of that variant.
        challenger: the version that the alias `challenger` was set on; None leaves it.
        same: a version whose files were gone, and the one that took its place, being the same model.
        deposed: why the champion before it could not stay; empty where it could have.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(default=0, exclude=True)
    time: datetime
    action: Action
    before: int | None = Field(validation_alias=AliasChoices("from", "before"), serialization_alias="from")
    after: int | None = Field(validation_alias=AliasChoices("to", "after"), serialization_alias="to")
    variant: str
    reason: str
    gates: tuple[str, ...] = ()
    challenger: int | None = None
    deposed: tuple[str, ...] = ()
    same: tuple[int, int] | None = None

    def tag(self) -> str:
        """The entry as JSON short enough for a tag."""
        short = self.model_copy(update={"reason": self.reason[:_REASON_LENGTH]})
        text = short.model_dump_json(by_alias=True)
        while len(text) > keys.LENGTH and short.gates:
            short = short.model_copy(update={"gates": short.gates[:-1]})
            text = short.model_dump_json(by_alias=True)
        return text


def history(client: MlflowClient, name: str) -> list[Entry]:
    """Every decision on a registered model, oldest first, and last what was since done to its champion by hand.

    Raises:
        UnknownName: there is no registered model of that name.
    """
    found = model(client, name)
    past = entries(found.tags)
    by_hand = _by_hand(client, name, found, past)
    return [*past, by_hand] if by_hand is not None else past


def entries(tags: Mapping[str, str]) -> list[Entry]:
    """The decisions among a registered model's tags, oldest first; what can't be read is left out."""
    found = []
    for number in numbers(tags):
        with suppress(ValidationError):
            entry = Entry.model_validate_json(tags[f"{keys.DECISION}{number:04d}"])
            found.append(entry.model_copy(update={"number": number}))
    return found


def numbers(tags: Mapping[str, str]) -> list[int]:
    """The numbers of the decisions among a registered model's tags, in order, whether they can be read or not."""
    found = [key.removeprefix(keys.DECISION) for key in tags if key.startswith(keys.DECISION)]
    return sorted(int(number) for number in found if re.fullmatch(r"\d{4,9}", number))


def champions(past: Iterable[Entry]) -> list[int]:
    """The versions that rollbacks go back through, the last champion last."""
    reigns: list[int] = []
    for entry in past:
        if entry.same is not None:
            reigns = [entry.same[1] if version == entry.same[0] else version for version in reigns]
        if entry.after is None:
            continue
        if entry.action == "rolled-back":
            while reigns and reigns[-1] != entry.after:
                reigns.pop()
        if not reigns or reigns[-1] != entry.after:
            reigns.append(entry.after)
    return reigns


def deposed(past: Iterable[Entry]) -> dict[int, datetime]:
    """The versions that were rolled back and have not been made champion again since, and when."""
    found: dict[int, datetime] = {}
    for entry in past:
        if entry.action == "rolled-back" and entry.before is not None:
            found[entry.before] = entry.time
        if entry.same is not None and entry.same[0] in found:
            found[entry.same[1]] = found.pop(entry.same[0])
            continue
        if entry.action in ("promoted", "rolled-back", "moved") and entry.after is not None:
            found.pop(entry.after, None)
    return found


def _by_hand(client: MlflowClient, name: str, found: Any, past: list[Entry]) -> Entry | None:
    """What somebody did to the champion since the last decision; None if nothing."""
    recorded = past[-1].after if past else None
    alias = found.aliases.get(CHAMPION)
    actual = int(alias) if alias is not None else None
    if actual == recorded or not numbers(found.tags):
        return None
    known = {row.version: row for row in versions(client, name)}

    def named(version: int) -> str:
        return f"{known[version].variant} (version {version})" if version in known else f"version {version}"

    if actual is not None:
        before = f", from {named(recorded)}" if recorded is not None else ""
        reason = f"the alias {CHAMPION!r} was set by hand on {named(actual)}{before}"
    elif recorded in known:
        reason = f"the alias {CHAMPION!r} was taken by hand from {named(recorded)}"
    else:
        reason = f"version {recorded}, the champion, was deleted by hand"
    return Entry(
        number=numbers(found.tags)[-1] + 1,
        time=now(),
        action="moved",
        before=recorded,
        after=actual,
        variant=known[actual].variant if actual in known else "",
        reason=reason,
    )


def now() -> datetime:
    """The time for an entry."""
    return datetime.now(UTC)


def damage(tags: Mapping[str, str]) -> list[str]:
    """What can't be read of the decisions among a registered model's tags, in words."""
    readable = {entry.number for entry in entries(tags)}
    found = [f"decision {number} can't be read" for number in numbers(tags) if number not in readable]
    if keys.PENDING in tags:
        try:
            Entry.model_validate_json(tags[keys.PENDING])
        except ValidationError:
            found.append("the note of a decision that was cut off can't be read")
    return found


def clear_damage(client: Any, name: str) -> None:
    """Take away the decisions that can't be read, and finish or drop one that was cut off."""
    tags = model(client, name).tags
    for number in set(numbers(tags)) - {entry.number for entry in entries(tags)}:
        client.delete_registered_model_tag(name, f"{keys.DECISION}{number:04d}")
    catch_up(client, name)


def replaced(client: Any, name: str, old: int, new: int, variant: str) -> None:
    """Have a version take over the aliases and the past of one that is the same model and has lost its files."""
    found = model(client, name)
    for alias, version in found.aliases.items():
        if int(version) == old:
            client.set_registered_model_alias(name, alias, str(new))
    past = entries(found.tags)
    reign = past[-1].after if past else None
    if not past:
        return
    entry = Entry(
        number=_next(found.tags),
        time=now(),
        action="moved",
        before=reign,
        after=new if reign == old else reign,
        variant=variant,
        reason=f"{variant} (version {old}) had lost its run or files, and is registered again as version {new}",
        same=(old, new),
    )
    _write(client, name, entry)


def carry_out(client: Any, name: str, entry: Entry) -> None:
    """Do and write down a decision; the caller holds the registry."""
    client.set_registered_model_tag(name, keys.PENDING, entry.tag())
    catch_up(client, name)


def catch_up(client: Any, name: str) -> None:
    """Finish the decision that is noted as pending, and write down what was done by hand.

    A note that can't be read, or whose version was deleted meanwhile, is dropped, which is written down as well. The
    caller holds the registry.
    """
    tags = model(client, name).tags
    text = tags.get(keys.PENDING, "")
    if text:
        _finish(client, name, tags, text)
    past = history(client, name)
    if past and f"{keys.DECISION}{past[-1].number:04d}" not in model(client, name).tags:
        _write(client, name, past[-1])


def _finish(client: Any, name: str, tags: Mapping[str, str], text: str) -> None:
    known = {row.version for row in versions(client, name)}
    try:
        pending = Entry.model_validate_json(text)
    except ValidationError:
        _drop(client, name, tags, "", "a note of a decision could not be read, and was dropped")
        return
    moves = pending.after is not None and pending.action in ("promoted", "rolled-back")
    if moves and pending.after not in known:
        why = f"version {pending.after} was deleted before it became champion: {pending.reason}"
        _drop(client, name, tags, pending.variant, why)
        return
    if pending.challenger in known:
        client.set_registered_model_alias(name, CHALLENGER, str(pending.challenger))
    if moves:
        client.set_registered_model_alias(name, CHAMPION, str(pending.after))
    past = entries(tags)
    if not past or past[-1].time != pending.time:
        _write(client, name, pending.model_copy(update={"number": _next(tags)}))
    client.delete_registered_model_tag(name, keys.PENDING)


def _drop(client: Any, name: str, tags: Mapping[str, str], variant: str, reason: str) -> None:
    """Write down that a pending decision is not carried out."""
    past = entries(tags)
    reign = past[-1].after if past else None
    entry = Entry(time=now(), action="refused", before=reign, after=reign, variant=variant, reason=reason)
    _write(client, name, entry.model_copy(update={"number": _next(tags)}))
    client.delete_registered_model_tag(name, keys.PENDING)


def _next(tags: Mapping[str, str]) -> int:
    return max(numbers(tags), default=0) + 1


def _write(client: Any, name: str, entry: Entry) -> None:
    client.set_registered_model_tag(name, f"{keys.DECISION}{entry.number:04d}", entry.tag())
