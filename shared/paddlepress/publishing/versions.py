"""Published versions as they lie in a store: read and checked, signature first."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paddlepress.core.errors import VerificationFailed
from paddlepress.core.progress import Progress
from paddlepress.publishing import checksums, manifest, pointer, signatures
from paddlepress.publishing.keys import PublicKey
from paddlepress.publishing.manifest import SIGNATURE_FILE, PublishedManifest
from paddlepress.publishing.pointer import Pointer
from paddlepress.publishing.stores import Store


@dataclass(frozen=True)
class Published:
    """A version whose signature, checksums and manifest were found right; its other files were not read.

    Attributes:
        prefix: where it lies in the store, with a slash at its end.
        manifest: what it is.
        documents: the files that were read, by path: manifest, checksums and signature.
        sums: SHA-256 of every file but the last two, by path.
        key: whose signature it is.
    """

    prefix: str
    manifest: PublishedManifest
    documents: Mapping[str, bytes]
    sums: Mapping[str, str]
    key: PublicKey

    @property
    def digest(self) -> str:
        """SHA-256 of `SHA256SUMS`."""
        return hashlib.sha256(self.documents[checksums.FILE]).hexdigest()


def prefix_of(name: str, version: int) -> str:
    """Where a version lies in a store."""
    return f"{name}/{version}/"


def read_pointer(store: Store, name: str, trusted: Mapping[str, PublicKey]) -> tuple[Pointer, str] | None:
    """The pointer of a name and the tag of its file; None if nothing was ever made current.

    Raises:
        VerificationFailed: it can't be trusted.
    """
    key = f"{name}/{pointer.FILE}"
    stored = store.read(key, signatures.LARGEST)
    return None if stored is None else (pointer.read(stored.data, name, trusted, store.at(key)), stored.tag)


def read_version(store: Store, name: str, version: int, trusted: Mapping[str, PublicKey]) -> Published | None:
    """A published version, up to the contents of its files; None if its signature or checksums are not there.

    Raises:
        VerificationFailed: it can't be trusted: altered, signed by no trusted key, another version's.
    """
    prefix = prefix_of(name, version)
    sums_key, signature_key, manifest_key = (prefix + file for file in (checksums.FILE, SIGNATURE_FILE, manifest.FILE))
    sums_file = store.read(sums_key, checksums.LARGEST)
    signature_file = store.read(signature_key, signatures.LARGEST)
    if sums_file is None or signature_file is None:
        return None
    signature = signatures.parse(signature_file.data, store.at(signature_key))
    key = signatures.check(signature, sums_file.data, trusted, store.at(sums_key))
    sums = checksums.parse(sums_file.data, store.at(sums_key))
    if manifest.FILE not in sums:
        raise VerificationFailed(f"{store.at(sums_key)} does not name {manifest.FILE}")
    manifest_file = store.read(manifest_key, manifest.LARGEST)
    if manifest_file is None:
        raise VerificationFailed(f"{store.at(manifest_key)} is missing")
    if hashlib.sha256(manifest_file.data).hexdigest() != sums[manifest.FILE]:
        raise VerificationFailed(_altered(store, manifest_key))
    about = manifest.read(manifest_file.data, store.at(manifest_key), name, version, sums)
    documents = {
        checksums.FILE: sums_file.data,
        SIGNATURE_FILE: signature_file.data,
        manifest.FILE: manifest_file.data,
    }
    return Published(prefix, about, documents, sums, key)


def check_listing(store: Store, found: Published) -> None:
    """Check that a version has the files that it names, of their sizes, and no others.

    Raises:
        VerificationFailed: it has not.
    """
    there = store.files(found.prefix)
    for path, stated in found.manifest.files.items():
        if path not in there:
            raise VerificationFailed(f"{store.at(found.prefix + path)} is missing")
        if there[path] != stated.bytes:
            raise VerificationFailed(
                f"{store.at(found.prefix + path)} has {there[path]:,} bytes, {manifest.FILE} says {stated.bytes:,}: "
                "altered or damaged"
            )
    extra = min(there.keys() - found.manifest.files.keys() - found.documents.keys(), default=None)
    if extra is not None:
        raise VerificationFailed(
            f"{store.at(found.prefix + extra)} is not among the files that were signed: somebody put it there"
        )


def fetch(store: Store, found: Published, folder: Path, progress: Progress) -> None:
    """Copy a version into an existing folder and check every byte of it.

    Raises:
        VerificationFailed: a file is missing, altered or damaged, or one is there that was not signed.
    """
    check_listing(store, found)
    for path, data in found.documents.items():
        (folder / path).write_bytes(data)
    for path, stated in found.manifest.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if store.fetch(found.prefix + path, target, stated.bytes, progress) != stated.sha256:
            raise VerificationFailed(_altered(store, found.prefix + path))


def check_files(store: Store, found: Published, progress: Progress) -> None:
    """Check every byte of a version where it lies.

    Raises:
        VerificationFailed: as for `fetch`.
    """
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        fetch(store, found, Path(scratch), progress)


def _altered(store: Store, key: str) -> str:
    return f"{store.at(key)} does not match its checksum in {checksums.FILE}: altered or damaged"
