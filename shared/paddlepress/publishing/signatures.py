"""Signatures beside what they are over, and those within: `signature.json`, and documents that carry their own."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddlepress.core import json_text
from paddlepress.core.errors import VerificationFailed, in_one_line
from paddlepress.core.manifests import Sha256
from paddlepress.publishing.keys import ALGORITHM, PublicKey, SigningKey, short

FORMAT_VERSION: Final = 1
LARGEST = 64 * 2**10  # bytes of a signature or of a document that carries one
SIGNATURE = "signature"


class Signature(BaseModel):
    """A signature as JSON.

    Attributes:
        algorithm: how it was made.
        key_id: of the key that made it, see `keys`.
        signature: the signature itself, DER in base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    algorithm: Literal["ECDSA-P256-SHA256"] = ALGORITHM
    key_id: Sha256
    signature: str = Field(max_length=200)


def sign(data: bytes, key: SigningKey) -> Signature:
    """A signature over bytes."""
    return Signature(key_id=key.public.id, signature=base64.b64encode(key.sign(data)).decode())


def parse(data: bytes, at: str) -> Signature:
    """A signature from its text.

    Args:
        data: the text.
        at: where it stands, for messages.

    Raises:
        VerificationFailed: it is none.
    """
    return _validated(_json(data, at), at)


def check(signature: Signature, data: bytes, trusted: Mapping[str, PublicKey], at: str) -> PublicKey:
    """The key, among those that are trusted, that signed bytes.

    Args:
        signature: as stated.
        data: the bytes.
        trusted: keys by id.
        at: what is signed, for messages.

    Raises:
        VerificationFailed: none did.
    """
    key = trusted.get(signature.key_id)
    if key is None:
        given = ", ".join(short(each) for each in trusted) or "none"
        raise VerificationFailed(
            f"{at} is signed by the key {short(signature.key_id)}, which is not trusted. Trusted: {given}"
        )
    try:
        der = base64.b64decode(signature.signature, validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if not key.verifies(der, data):
        raise VerificationFailed(f"{at} does not match its signature by the key {short(key.id)}: it was altered")
    return key


def sign_document(content: Mapping[str, Any], key: SigningKey) -> bytes:
    """A JSON document with a signature over all else that it says."""
    own = sign(_canonical(content), key).model_dump(mode="json")
    return (json.dumps({**content, SIGNATURE: own}, indent=1, sort_keys=True) + "\n").encode()


def check_document(data: bytes, trusted: Mapping[str, PublicKey], at: str) -> dict[str, Any]:
    """What a document that carries its own signature says.

    Args:
        data: its text.
        trusted: keys by id.
        at: where it stands, for messages.

    Raises:
        VerificationFailed: it is damaged, unsigned, altered, or signed by no trusted key.
    """
    content = _json(data, at)
    if not isinstance(content, dict):
        raise VerificationFailed(f"{at} is damaged: it is no JSON object")
    if SIGNATURE not in content:
        raise VerificationFailed(f"{at} is not signed")
    signature = _validated(content.pop(SIGNATURE), at)
    check(signature, _canonical(content), trusted, at)
    return content


def _canonical(content: Mapping[str, Any]) -> bytes:
    """The one way in which a document's content is written to be signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _json(data: bytes, at: str) -> Any:
    try:
        return json_text.parse(data)
    except ValueError as error:
        raise VerificationFailed(f"{at} is damaged: it is not JSON ({in_one_line(error)})") from None


def _validated(content: Any, at: str) -> Signature:
    try:
        return Signature.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or SIGNATURE
        raise VerificationFailed(
            f"{at} has a signature that can't be read: {in_one_line(key, 100)}: {in_one_line(first['msg'])}"
        ) from None
