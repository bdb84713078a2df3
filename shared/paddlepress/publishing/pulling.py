"""Bring a published version to this machine: nothing is kept unless its signature and every checksum are right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddlepress.core import json_text
from paddlepress.core.errors import UsageError, VerificationFailed, in_one_line
from paddlepress.core.files import replacing, write_text
from paddlepress.core.manifests import Sha256
from paddlepress.core.progress import Progress, Silent
from paddlepress.core.storage import is_s3
from paddlepress.publishing import checksums, versions
from paddlepress.publishing import pointer as pointers
from paddlepress.publishing.keys import PublicKey, by_id
from paddlepress.publishing.places import open_store
from paddlepress.publishing.stores import Store

MEMORY = "pulled.json"
CURRENT = "current"
_FORM = "PLACE/NAME/current, or PLACE/NAME/VERSION, where PLACE is s3://bucket/prefix or a folder"


class Memory(BaseModel):
    """What a folder remembers of what was pulled into it.

    Attributes:
        source, name: where from, and of which model.
        version, checksums: what is in the folder, and the SHA-256 of its `SHA256SUMS`.
        highest_version, highest_sequence: of all versions and pointers that were ever taken here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    name: str
    version: int = Field(ge=1)
    checksums: Sha256
    highest_version: int = Field(ge=1)
    highest_sequence: int = Field(ge=0)


@dataclass(frozen=True)
class Pulled:
    """What is in a folder now.

    Attributes:
        name, version: what it is.
        key_id: of the key that signed it.
        sequence: of the pointer that was followed; 0 if a version was asked for by its number.
        downloaded: False if it was there already.
    """

    name: str
    version: int
    key_id: str
    sequence: int
    downloaded: bool


def pull(
    location: str,
    folder: Path,
    trusted: Sequence[PublicKey],
    at_least: int = 0,
    allow_older: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Put a published version into a folder, whole and checked or not at all.

    A pointer older than one that was followed into this folder before is a replayed one, and refused in any case.

    Args:
        location: `PLACE/NAME/current` or `PLACE/NAME/VERSION`.
        folder: where to; what was pulled there before is replaced.
        trusted: the keys whose signatures are taken.
        at_least: the lowest version that is taken.
        allow_older: take a lower version than the highest that was taken before, such as after a rollback.
        progress: told of long downloads.

    Raises:
        UsageError: the location can't be understood, or the folder holds something else.
        VerificationFailed: it is unsigned, signed by another key, altered, incomplete, or older than it may be.
        DataError: the place can't be reached or refuses.
    """
    folder = folder.absolute()
    place, name, wanted = _parsed(location)
    store = open_store(place)
    known = by_id(trusted)
    memory = _remembered(folder)
    if memory is not None and (memory.source, memory.name) != (store.location, name):
        raise UsageError(
            f"{folder} holds {memory.name} of {memory.source}; pull {name} of {store.location} into another folder"
        )
    sequence, digest = 0, ""
    if wanted is None:
        pointer = _current(store, name, known, memory)
        wanted, sequence, digest = pointer.version, pointer.sequence, pointer.checksums
    _check_age(name, wanted, at_least, allow_older, memory)
    found = versions.read_version(store, name, wanted, known)
    where = store.at(versions.prefix_of(name, wanted))
    if found is None:
        raise VerificationFailed(f"{where} is not signed, or not there: no version is published there")
    if digest and found.digest != digest:
        raise VerificationFailed(f"{where} is not the version that {pointers.FILE} was signed for")
    highest_version = max(wanted, memory.highest_version if memory is not None else 0)
    highest_sequence = max(sequence, memory.highest_sequence if memory is not None else 0)
    after = Memory(
        source=store.location,
        name=name,
        version=wanted,
        checksums=found.digest,
        highest_version=highest_version,
        highest_sequence=highest_sequence,
    )
    here = memory is not None and memory.checksums == found.digest and _is_whole(folder, found)
    if here:
        if after != memory:
            write_text(folder / MEMORY, _text(after))
    else:
        with replacing(folder) as temporary:
            temporary.mkdir()
            versions.fetch(store, found, temporary, progress or Silent())
            (temporary / MEMORY).write_text(_text(after), encoding="utf-8")
    return Pulled(name, wanted, found.key.id, sequence, not here)


def _parsed(location: str) -> tuple[str, str, int | None]:
    """Place, name and version; None stands for the current one."""
    found = re.fullmatch(r"(.+)/([A-Za-z0-9][A-Za-z0-9_.-]{0,199})/(current(?:\.json)?|[1-9][0-9]{0,8})/?", location)
    if found is None or (is_s3(location) and not is_s3(found[1])):  # s3://bucket/current has no name
        raise UsageError(f"{location!r} is no published version. Valid: {_FORM}")
    return found[1], found[2], int(found[3]) if found[3].isdecimal() else None


def _current(store: Store, name: str, trusted: dict[str, PublicKey], memory: Memory | None) -> pointers.Pointer:
    found = versions.read_pointer(store, name, trusted)
    at = store.at(f"{name}/{pointers.FILE}")
    if found is None:
        raise VerificationFailed(f"nothing is published at {at}")
    pointer = found[0]
    if memory is not None and pointer.sequence < memory.highest_sequence:
        raise VerificationFailed(
            f"{at} is an old pointer put back: it has the number {pointer.sequence}, and {memory.highest_sequence} was "
            "followed from here before"
        )
    return pointer


def _check_age(name: str, version: int, at_least: int, allow_older: bool, memory: Memory | None) -> None:
    if version < at_least:
        raise VerificationFailed(f"version {version} of {name} is older than --at-least {at_least}")
    if memory is not None and version < memory.highest_version and not allow_older:
        raise VerificationFailed(
            f"version {version} of {name} is older than version {memory.highest_version}, which was here before; "
            "--allow-older takes it"
        )


def _remembered(folder: Path) -> Memory | None:
    path = folder / MEMORY
    if not folder.exists() and not folder.is_symlink():
        return None
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name one to make, or one that was pulled into before")
    if not path.is_file():
        if not any(folder.iterdir()):
            return None
        raise UsageError(f"{folder} holds something that was not pulled; name an empty folder or one to make")
    try:
        with path.open("rb") as stream:
            return Memory.model_validate(json_text.parse(stream.read(json_text.LARGEST + 1)))
    except (ValueError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UsageError(f"{path} is damaged: {in_one_line(why)}. Delete {folder} to begin anew") from None


def _is_whole(folder: Path, found: versions.Published) -> bool:
    """Whether a folder holds a version, to the byte, and nothing else."""
    wanted = dict(found.sums) | {
        path: hashlib.sha256(found.documents[path]).hexdigest() for path in found.documents if path not in found.sums
    }
    there = checksums.of_folder(folder)
    there.pop(MEMORY, None)
    return there == wanted


def _text(memory: Memory) -> str:
    return memory.model_dump_json(indent=1) + "\n"
