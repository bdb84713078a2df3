"""The promotion decisions on a registered model, kept as its tags.

A decision is carried out in four steps: note it as pending, move the aliases, write it down under the next
number, clear the note. A process that dies in between leaves the note, and the next one to hold the registry
finishes what it says. So the aliases and the history can't come to disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from paddlepress.errors import RegistryError
from paddlepress.registry import tags as keys
from paddlepress.registry.catalogue import model

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
CHALLENGER = "challenger"
Action = Literal["promoted", "kept", "refused", "rolled-back"]

_REASON_LENGTH = 2000


class Entry(BaseModel):
    """One decision.

    Attributes:
        number: its place in the history, from 1.
        time: when it was made.
        action: what was decided.
        before: the champion's version before it (`from` in the tag); None if there was none.
        after: the champion's version after it (`to` in the tag); None if there is none.
        variant: the variant it was about, mostly the champion's after it.
        reason: why.
        gates: what each gate said of that variant.
        challenger: the version that the alias `challenger` was set on; None leaves it.
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

    def tag(self) -> str:
        """The entry as JSON short enough for a tag."""
        short = self.model_copy(update={"reason": self.reason[:_REASON_LENGTH]})
        text = short.model_dump_json(by_alias=True)
        while len(text) > keys.LENGTH and short.gates:
            short = short.model_copy(update={"gates": short.gates[:-1]})
            text = short.model_dump_json(by_alias=True)
        return text


def history(client: MlflowClient, name: str) -> list[Entry]:
    """Every decision on a registered model, oldest first.

    Raises:
        UnknownName: there is no registered model of that name.
    """
    return entries(name, model(client, name).tags)


def entries(name: str, tags: dict[str, str]) -> list[Entry]:
    """The decisions among a registered model's tags, oldest first."""
    numbered = sorted(
        (int(key.removeprefix(keys.DECISION)), text)
        for key, text in tags.items()
        if key.startswith(keys.DECISION) and key.removeprefix(keys.DECISION).isdigit()
    )
    try:
        return [Entry.model_validate_json(text).model_copy(update={"number": number}) for number, text in numbered]
    except ValidationError as error:
        raise RegistryError(f"the history of {name} can't be read: {error.errors()[0]['msg']}") from None


def champions(past: Iterable[Entry]) -> list[int]:
    """The versions that rollbacks go back through, the reigning one last."""
    reigns: list[int] = []
    for entry in past:
        if entry.after is None:
            continue
        if entry.action == "promoted":
            reigns.append(entry.after)
        elif entry.action == "rolled-back":
            while reigns and reigns[-1] != entry.after:
                reigns.pop()
    return reigns


def deposed(past: Iterable[Entry]) -> dict[int, datetime]:
    """The versions that were rolled back and have not been promoted again since, and when."""
    found: dict[int, datetime] = {}
    for entry in past:
        if entry.action == "rolled-back" and entry.before is not None:
            found[entry.before] = entry.time
        if entry.action in ("promoted", "rolled-back") and entry.after is not None:
            found.pop(entry.after, None)
    return found


def now() -> datetime:
    """The time for an entry."""
    return datetime.now(UTC)


def carry_out(client: Any, name: str, entry: Entry) -> None:
    """Do and write down a decision; the caller holds the registry."""
    client.set_registered_model_tag(name, keys.PENDING, entry.tag())
    finish(client, name)


def finish(client: Any, name: str) -> None:
    """Finish the decision that is noted as pending, if there is one; the caller holds the registry."""
    tags = model(client, name).tags
    text = tags.get(keys.PENDING, "")
    if not text:
        return
    pending = Entry.model_validate_json(text)
    if pending.challenger is not None:
        client.set_registered_model_alias(name, CHALLENGER, str(pending.challenger))
    if pending.after is not None and pending.action in ("promoted", "rolled-back"):
        client.set_registered_model_alias(name, CHAMPION, str(pending.after))
    past = entries(name, tags)
    if not past or past[-1].time != pending.time:
        number = past[-1].number + 1 if past else 1
        client.set_registered_model_tag(name, f"{keys.DECISION}{number:04d}", text)
    client.delete_registered_model_tag(name, keys.PENDING)
