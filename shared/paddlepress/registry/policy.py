"""The policy that promotion follows, kept with the registered model so that promotion needs no recipe."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from paddlepress.core.errors import RegistryError
from paddlepress.registry import tags as keys
from paddlepress.registry.catalogue import model
from paddlepress.registry.connection import ensure_model
from paddlepress.registry.gates import Gate, Objective
from paddlepress.registry.locking import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Policy(BaseModel):
    """By what a champion is chosen, and among which variants.

    Attributes:
        gates: what a variant must fulfil.
        objective: what makes one passing variant better than another.
        variants: variant -> digest of what makes it in the recipe, in the recipe's order; none considers all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gates: tuple[Gate, ...] = ()
    objective: Objective
    variants: dict[str, str] = {}


def store_policy(client: MlflowClient, name: str, policy: Policy) -> None:
    """Keep a recipe's policy with its registered model; it takes the place of the one before.

    A policy that is longer than a tag goes into several. A process that dies between them leaves a policy that
    can't be read, until the recipe is run again.
    """
    text = policy.model_dump_json(exclude_defaults=True)
    parts = [text[start : start + keys.LENGTH] for start in range(0, len(text), keys.LENGTH)]
    wanted = {_key(number): part for number, part in enumerate(parts)}
    with exclusive(client):
        present = ensure_model(client, name).tags
        for key, part in wanted.items():
            if present.get(key) != part:
                client.set_registered_model_tag(name, key, part)
        for key in present:
            if key.startswith(f"{keys.POLICY}.") and key not in wanted:
                client.delete_registered_model_tag(name, key)


def load_policy(client: MlflowClient, name: str) -> Policy:
    """The policy of the last recipe that was run under a name.

    Raises:
        UnknownName: there is no registered model of that name.
        RegistryError: no recipe has stored a policy there, or it can't be read.
    """
    with exclusive(client):
        tags = model(client, name).tags
    if keys.POLICY not in tags:
        raise RegistryError(f"{name} has no gates and objective in the registry: run its recipe first")
    text = ""
    for number in count():
        part = tags.get(_key(number))
        if part is None:
            break
        text += part
    try:
        return Policy.model_validate_json(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise RegistryError(
            f"the gates and objective of {name} in the registry can't be read: {why}. Run its recipe again"
        ) from None


def _key(number: int) -> str:
    return keys.POLICY if number == 0 else f"{keys.POLICY}.{number}"
