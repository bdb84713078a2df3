"""Where versions are published, written down with them: a tag on the version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from paddlepress.registry import tags as keys
from paddlepress.registry.locking import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REMEMBERED = 20  # places


class Publication(BaseModel):
    """A version that was made current in a place.

    Attributes:
        location: the place, such as `s3://bucket/prefix`.
        time: when.
        publisher: by whom, as USER@HOST.
        key_id: SHA-256 of the public key that its signature is checked with.
        sequence: the number of the pointer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    location: str
    time: datetime
    publisher: str
    key_id: str
    sequence: int


def of_tags(tags: Mapping[str, str]) -> tuple[Publication, ...]:
    """The publications among a version's tags, oldest first; what can't be read is left out."""
    try:
        stated = json.loads(tags.get(keys.PUBLISHED, "[]"))
    except ValueError:
        return ()
    found = []
    for entry in stated if isinstance(stated, list) else ():
        with suppress(ValidationError):
            found.append(Publication.model_validate(entry))
    return tuple(found)


def note(client: MlflowClient, name: str, version: int, publication: Publication) -> None:
    """Write down that a version was published; the newest of each place is kept."""
    with exclusive(client):
        known = of_tags(client.get_model_version(name, str(version)).tags)
        if publication in known:
            return
        kept = [each for each in known if each.location != publication.location]
        wanted = [each.model_dump(mode="json") for each in (*kept, publication)[-_REMEMBERED:]]
        while len(json.dumps(wanted)) > keys.LENGTH and len(wanted) > 1:
            wanted = wanted[1:]
        client.set_model_version_tag(name, str(version), keys.PUBLISHED, json.dumps(wanted))
