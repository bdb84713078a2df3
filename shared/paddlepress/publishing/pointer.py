"""`current.json`: which version is in production, signed, and numbered so that an old one is known for what it is."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddlepress.core.errors import VerificationFailed, in_one_line
from paddlepress.core.manifests import Sha256
from paddlepress.publishing import signatures
from paddlepress.publishing.keys import PublicKey, SigningKey

FILE = "current.json"
_REMEMBERED = 100  # former versions, for rollbacks


class Pointer(BaseModel):
    """What is in production.

    Attributes:
        name, version: the version that is current.
        sequence: 1 for the first pointer of a name; each one that takes its place has the next number.
        action: how the version became current.
        checksums: SHA-256 of the version's `SHA256SUMS`.
        time: when it became current.
        publisher: who made it so, as USER@HOST.
        former: the versions that a rollback goes back through, the latest last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: int = Field(ge=1)
    sequence: int = Field(ge=1, lt=2**53)
    action: Literal["published", "rolled-back"]
    checksums: Sha256
    time: datetime
    publisher: str = Field(max_length=200)
    former: tuple[int, ...] = Field(default=(), max_length=_REMEMBERED)

    def told(self) -> str:
        """Which version it is, since when and by whom, in words."""
        return f"version {self.version}, {self.action} by {self.publisher} at {self.time:%Y-%m-%d %H:%M:%S} UTC"

    def publishing(self, version: int, digest: str) -> Pointer:
        """The pointer that comes after this one when another version is published."""
        former = tuple(each for each in (*self.former, self.version) if each != version)[-_REMEMBERED:]
        return self._next(version, digest, "published", former)

    def rolling_back(self, version: int, digest: str) -> Pointer:
        """The pointer that comes after this one when a former version is current again."""
        former = self.former[: self.former.index(version)]
        return self._next(version, digest, "rolled-back", former)

    def _next(
        self, version: int, digest: str, action: Literal["published", "rolled-back"], former: tuple[int, ...]
    ) -> Pointer:
        return Pointer(
            name=self.name,
            version=version,
            sequence=self.sequence + 1,
            action=action,
            checksums=digest,
            time=_now(),
            publisher=_publisher(),
            former=former,
        )


def first(name: str, version: int, digest: str) -> Pointer:
    """The pointer of a name that nothing was published of before."""
    return Pointer(
        name=name,
        version=version,
        sequence=1,
        action="published",
        checksums=digest,
        time=_now(),
        publisher=_publisher(),
    )


def signed(pointer: Pointer, key: SigningKey) -> bytes:
    """The text of `current.json`."""
    return signatures.sign_document(pointer.model_dump(mode="json"), key)


def read(data: bytes, name: str, trusted: Mapping[str, PublicKey], at: str) -> Pointer:
    """A pointer whose signature was found right.

    Args:
        data: the text of `current.json`.
        name: whose it has to be.
        trusted: keys by id.
        at: where it stands, for messages.

    Raises:
        VerificationFailed: it is damaged, unsigned, altered, another name's, or signed by no trusted key.
    """
    content = signatures.check_document(data, trusted, at)
    try:
        pointer = Pointer.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise VerificationFailed(
            f"{at} can't be read: {in_one_line(key, 100)}: {in_one_line(problem['msg'])}"
        ) from None
    if pointer.name != name:
        raise VerificationFailed(f"{at} is the pointer of {in_one_line(pointer.name, 100)!r}, not of {name!r}")
    return pointer


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _publisher() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user is known, as in many containers
        user = "unknown"
    return re.sub(r"[^\w.@-]", "-", f"{user}@{socket.gethostname()}")[:200]
