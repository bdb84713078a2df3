"""Keys that sign what is published: ECDSA on the curve P-256 with SHA-256, in PEM files.

A signature is made over bytes as they are, in DER, so that `openssl dgst -sha256 -verify` checks it too. A key's id is
the SHA-256 of its public half (SubjectPublicKeyInfo, DER).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from paddlepress.core.errors import UsageError
from paddlepress.core.files import sync, writing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

PASSPHRASE = "PADDLEPRESS_SIGNING_PASSPHRASE"
"""The environment variable with the passphrase of a private key that is encrypted."""
ALGORITHM: Final = "ECDSA-P256-SHA256"
PUBLIC_SUFFIX = ".pub"

_LARGEST = 64 * 2**10  # bytes of a PEM file
_NEW = "paddlepress keys new FILE makes one"


class PublicKey:
    """The half of a key that checks signatures.

    Attributes:
        id: 64 hexadecimal digits, see above.
    """

    def __init__(self, key: EllipticCurvePublicKey) -> None:
        from cryptography.hazmat.primitives import serialization

        self._key = key
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.id = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()
        self._pem = key.public_bytes(serialization.Encoding.PEM, form)

    def pem(self) -> bytes:
        """The key as a PEM file holds it."""
        return self._pem

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature, in DER, is one of this key over these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key.

    Attributes:
        public: its other half.
    """

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """A signature over bytes, in DER."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def create(path: Path) -> PublicKey:
    """Make a key: the private half in a file that only its owner can read, the public half beside it as `.pub`.

    The private half is encrypted if PADDLEPRESS_SIGNING_PASSPHRASE holds a passphrase.

    Raises:
        UsageError: one of the two files exists, or can't be written.
        DiskFull: there is no room for them.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = public_path(path)
    for file in (path, other):
        if file.is_symlink() or file.exists():
            raise UsageError(f"{file} exists already, and a key is never overwritten: name another file")
    made = ec.generate_private_key(ec.SECP256R1())
    secret = passphrase()
    encryption: Any = (
        serialization.BestAvailableEncryption(secret) if secret is not None else serialization.NoEncryption()
    )
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = PublicKey(made.public_key())
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_new(other, public.pem(), 0o644)
    try:
        _write_new(path, pem, 0o600)
    except BaseException:
        other.unlink(missing_ok=True)
        raise
    return public


def public_path(path: Path) -> Path:
    """Where the public half of the key in a file is written."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def passphrase() -> bytes | None:
    """What PADDLEPRESS_SIGNING_PASSPHRASE holds; None if it is not set or empty."""
    return os.environ.get(PASSPHRASE, "").encode() or None


def load_signing_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        UsageError: there is none, others than its owner can read it, it is of another kind, or it is encrypted and
            PADDLEPRESS_SIGNING_PASSPHRASE does not open it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = _read(path, "signing key")
    if b"PUBLIC KEY-----" in data:
        raise UsageError(f"{path} is a public key; signing takes the private one, which was made beside it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UsageError(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
    secret = passphrase()
    try:
        key = serialization.load_pem_private_key(data, secret if b"ENCRYPTED" in data else None)
    except TypeError:
        raise UsageError(f"{path} is encrypted: set {PASSPHRASE}") from None
    except Exception as error:  # ValueError, UnsupportedAlgorithm, and more of OpenSSL's
        if b"ENCRYPTED" in data:
            raise UsageError(f"{path} is encrypted, and {PASSPHRASE} does not open it") from None
        raise UsageError(f"{path} holds no private key that can be read ({type(error).__name__}): {_NEW}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path} holds a key of another kind. Valid: ECDSA on the curve P-256; {_NEW}")
    return SigningKey(key)


def load_public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        UsageError: there is none, or it is of another kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = _read(path, "public key")
    if b"PRIVATE KEY-----" in data:
        raise UsageError(f"{path} is a private key; checking takes the public one, {public_path(path).name}")
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:  # ValueError, UnsupportedAlgorithm, and more of OpenSSL's
        raise UsageError(f"{path} holds no public key that can be read ({type(error).__name__}): {_NEW}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path} holds a key of another kind. Valid: ECDSA on the curve P-256; {_NEW}")
    return PublicKey(key)


def by_id(keys: Iterable[PublicKey]) -> dict[str, PublicKey]:
    """Keys by their ids."""
    return {key.id: key for key in keys}


def short(key_id: str) -> str:
    """The beginning of a key's id, for messages."""
    return key_id[:12]


def _read(path: Path, what: str) -> bytes:
    if "-----BEGIN" in str(path):  # the key itself in a variable: never repeated in a message
        raise UsageError(f"the {what} is given as text; give the name of the file that holds it")
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST)
    except FileNotFoundError:
        raise UsageError(f"there is no {what} at {path}: {_NEW}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the {what} {path} can't be read: {reason}") from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(data)
            sync(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
