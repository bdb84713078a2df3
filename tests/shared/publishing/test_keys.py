"""Keys that sign what is published."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from paddlepress.core.errors import UsageError
from paddlepress.publishing import keys

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def test_a_key_signs_and_its_public_half_checks(tmp_path: Path) -> None:
    """Both files are read back; a signature is of these bytes and of this key alone."""
    made = keys.create(tmp_path / "deep" / "key.pem")
    private = keys.load_signing_key(tmp_path / "deep" / "key.pem")
    public = keys.load_public_key(tmp_path / "deep" / "key.pem.pub")
    assert made.id == private.public.id == public.id
    signature = private.sign(b"data")
    assert public.verifies(signature, b"data")
    assert not public.verifies(signature, b"Data")
    assert not public.verifies(b"", b"data")
    assert not keys.create(tmp_path / "other.pem").verifies(signature, b"data")


def test_only_the_owner_can_read_a_private_key(tmp_path: Path) -> None:
    """It is made so whatever the umask; one that others can read is refused, with the command that mends it."""
    path = tmp_path / "key.pem"
    keys.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"can be read by others \(mode 0640\): chmod 600"):
        keys.load_signing_key(path)


@pytest.mark.parametrize("there", ["key.pem", "key.pem.pub"])
def test_a_key_is_never_overwritten(there: str, tmp_path: Path) -> None:
    """Neither of the two files may be there, and what is there stays."""
    (tmp_path / there).write_text("precious")
    with pytest.raises(UsageError, match=f"{there} exists already"):
        keys.create(tmp_path / "key.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_passphrase_encrypts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, or with another one, the key is not read, and no message holds either."""
    path = tmp_path / "key.pem"
    monkeypatch.setenv(keys.PASSPHRASE, "correct horse")
    keys.create(path)
    assert b"ENCRYPTED" in path.read_bytes()
    keys.load_signing_key(path)
    monkeypatch.setenv(keys.PASSPHRASE, "battery staple")
    with pytest.raises(UsageError, match=f"is encrypted, and {keys.PASSPHRASE} does not open it") as caught:
        keys.load_signing_key(path)
    assert "staple" not in str(caught.value)
    monkeypatch.delenv(keys.PASSPHRASE)
    with pytest.raises(UsageError, match=f"is encrypted: set {keys.PASSPHRASE}"):
        keys.load_signing_key(path)


def test_a_passphrase_that_is_not_needed_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not encrypted is read with the variable set."""
    keys.create(tmp_path / "key.pem")
    monkeypatch.setenv(keys.PASSPHRASE, "anything")
    keys.load_signing_key(tmp_path / "key.pem")


def _p384() -> bytes:
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(PEM, PKCS8, serialization.NoEncryption())


def _ed25519() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_p384, "a key of another kind. Valid: ECDSA on the curve P-256"),
        (_ed25519, "a key of another kind"),
        (lambda: b"", "holds no private key"),
        (lambda: b"\x00" * 1000, "holds no private key"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
    ],
)
def test_what_is_no_signing_key_is_refused(content: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    """In one line that names the file."""
    path = tmp_path / "key.pem"
    path.write_bytes(content())
    path.chmod(0o600)
    with pytest.raises(UsageError, match=message) as caught:
        keys.load_signing_key(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_two_halves_are_told_apart(tmp_path: Path) -> None:
    """Whoever gives the other file is told which one it has to be."""
    path = tmp_path / "key.pem"
    keys.create(path)
    with pytest.raises(UsageError, match="is a public key; signing takes the private one"):
        keys.load_signing_key(keys.public_path(path))
    with pytest.raises(UsageError, match=r"is a private key; checking takes the public one, key\.pem\.pub"):
        keys.load_public_key(path)
    with pytest.raises(UsageError, match="there is no public key at"):
        keys.load_public_key(tmp_path / "absent.pub")


def test_a_key_in_the_place_of_a_file_name_is_not_repeated() -> None:
    """A variable may hold the key itself by mistake: the message must not."""
    with pytest.raises(UsageError, match="is given as text") as caught:
        keys.load_signing_key(Path("-----BEGIN PRIVATE KEY-----\nSECRET"))
    assert "SECRET" not in str(caught.value)
