"""Take a version to production, and go back to a former one.

What is published is never written again. The files go first, then they are read back, then their checksums and the
signature are written, and last the pointer is moved, if it still is as it was when the work began. Whoever is cut off
leaves files that nothing points at and no signature is over; publishing again goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from paddlepress.core.errors import PublishRefused, RegistryError
from paddlepress.core.progress import Progress, Silent
from paddlepress.deployment import bundle
from paddlepress.publishing import checksums, contents, pointer, signatures, versions
from paddlepress.publishing.facts import gather
from paddlepress.publishing.keys import PublicKey, SigningKey, by_id
from paddlepress.publishing.manifest import DEPLOYABLE, SIGNATURE_FILE
from paddlepress.publishing.pointer import Pointer
from paddlepress.publishing.stores import Store
from paddlepress.registry.connection import check_name
from paddlepress.registry.fetching import fetch_deployable
from paddlepress.registry.publications import Publication, note

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.registry.catalogue import Row


@dataclass(frozen=True)
class Outcome:
    """What publishing or rolling back came to.

    Attributes:
        pointer: what is current now.
        uploaded: False if the version was published already.
        moved: False if it was current already, or somebody else has made it so meanwhile.
        key_id: of the key that the version is signed by.
    """

    pointer: Pointer
    uploaded: bool
    moved: bool
    key_id: str


def publish(
    client: MlflowClient,
    name: str,
    row: Row,
    store: Store,
    key: SigningKey,
    trusted: Sequence[PublicKey] = (),
    progress: Progress | None = None,
) -> Outcome:
    """Publish a registered version and make it current; what is there already is found, not made twice.

    Args:
        client: of the registry, where it is written down.
        name, row: the version.
        store: where to.
        key: what it is signed with.
        trusted: keys besides whose signatures on what is there already are taken.
        progress: told of long uploads.

    Raises:
        PublishRefused: the version is published with another model, or somebody else has moved the pointer meanwhile.
        VerificationFailed: what is there already can't be trusted.
        ArtifactError, RegistryError: the registry's files are damaged or can't be had.
        DataError: the place can't be reached or refuses.
    """
    check_name("the name", name)
    known = by_id([key.public, *trusted])
    shown = progress or Silent()
    before = versions.read_pointer(store, name, known)
    with TemporaryDirectory(prefix="paddlepress-") as scratch:
        folder = Path(scratch)
        (folder / "registry").mkdir()
        deployable = fetch_deployable(client, name, row.version, folder / "registry")
        if bundle.read_manifest(deployable).digest != row.model_digest:
            raise RegistryError(f"version {row.version} of {name!r} holds another model than its tags say")
        found = versions.read_version(store, name, row.version, known)
        uploaded = found is None
        if found is not None:
            _check_same(store, found, deployable)
            versions.check_files(store, found, shown)
        else:
            contents.make(gather(client, name, row, deployable), deployable, folder / "version")
            _upload(store, versions.prefix_of(name, row.version), folder / "version", key, known, shown)
            found = versions.read_version(store, name, row.version, known)
            if found is None:
                raise PublishRefused(f"{store.at(versions.prefix_of(name, row.version))} was deleted while it was made")
            versions.check_listing(store, found)
    now, moved = _make_current(store, name, row.version, found.digest, before, key, known)
    said = Publication(
        location=store.location,
        time=now.time,
        publisher=now.publisher,
        key_id=found.key.id,
        sequence=now.sequence,
    )
    note(client, name, row.version, said)
    return Outcome(now, uploaded, moved, found.key.id)


def roll_back(
    name: str, store: Store, key: SigningKey, trusted: Sequence[PublicKey] = (), progress: Progress | None = None
) -> Outcome:
    """Make the version current that was so before the one that is; the registry has no part in it.

    Args:
        name: of the registered model.
        store: where it is published.
        key: what the new pointer is signed with.
        trusted: keys besides whose signatures are taken.
        progress: told of long reading.

    Raises:
        PublishRefused: there is nothing to go back to, or somebody else has moved the pointer meanwhile.
        VerificationFailed: what is there can't be trusted.
        DataError: the place can't be reached or refuses.
    """
    check_name("the name", name)
    known = by_id([key.public, *trusted])
    before = versions.read_pointer(store, name, known)
    if before is None:
        raise PublishRefused(f"nothing is published at {store.at(f'{name}/{pointer.FILE}')}")
    if not before[0].former:
        raise PublishRefused(
            f"version {before[0].version} is the first of {name} at {store.location}: there is none to go back to"
        )
    version = before[0].former[-1]
    found = versions.read_version(store, name, version, known)
    if found is None:
        raise PublishRefused(
            f"{store.at(versions.prefix_of(name, version))}, which was current before, is not there any more"
        )
    versions.check_files(store, found, progress or Silent())
    wanted = before[0].rolling_back(version, found.digest)
    now, moved = _replace(store, name, wanted, before[1], key, known)
    return Outcome(now, uploaded=False, moved=moved, key_id=found.key.id)


def _check_same(store: Store, found: versions.Published, deployable: Path) -> None:
    """Refuse a version that is published with another model than the registry holds.

    Its card and manifest stay as they were when it was published, whatever has been measured since.
    """
    own = {f"{DEPLOYABLE}/{path}": digest for path, digest in checksums.of_folder(deployable).items()}
    there = {path: digest for path, digest in found.sums.items() if path.startswith(f"{DEPLOYABLE}/")}
    differing = min((path for path in own.keys() | there.keys() if own.get(path) != there.get(path)), default=None)
    if differing is not None:
        raise PublishRefused(
            f"{store.at(found.prefix)} is published already, with another {differing} than the registry has: "
            "a published version is never changed"
        )


def _upload(
    store: Store, prefix: str, folder: Path, key: SigningKey, trusted: Mapping[str, PublicKey], progress: Progress
) -> None:
    """Write a version's files, read them back, and sign them."""
    sums = folder / checksums.FILE
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del paths[checksums.FILE]
    strange = min(store.files(prefix).keys() - paths.keys() - {checksums.FILE}, default=None)
    if strange is not None:
        raise PublishRefused(f"{store.at(prefix + strange)} is no file of this version: {_advice(store, prefix)}")
    for name in sorted(paths):
        store.put_new(prefix + name, paths[name], progress)
    for name in sorted(paths):
        if not store.holds(prefix + name, paths[name]):
            raise PublishRefused(
                f"{store.at(prefix + name)} holds other bytes than were to be published, of an attempt that was cut "
                f"off: {_advice(store, prefix)}"
            )
    store.put_new(prefix + checksums.FILE, sums, progress)
    if not store.holds(prefix + checksums.FILE, sums):
        raise PublishRefused(f"{store.at(prefix + checksums.FILE)} is another's: {_advice(store, prefix)}")
    signature = folder / SIGNATURE_FILE
    signature.write_text(signatures.sign(sums.read_bytes(), key).model_dump_json() + "\n", encoding="utf-8")
    # Where another publisher of the same version was first, the signature is theirs, and is checked when it is read.
    store.put_new(prefix + SIGNATURE_FILE, signature, progress)


def _advice(store: Store, prefix: str) -> str:
    return f"nothing there is signed or current; delete {store.at(prefix)} and publish again"


def _make_current(
    store: Store,
    name: str,
    version: int,
    digest: str,
    before: tuple[Pointer, str] | None,
    key: SigningKey,
    trusted: Mapping[str, PublicKey],
) -> tuple[Pointer, bool]:
    """Move the pointer to a version, unless it is there; gives what is current then, and whether it was moved."""
    if before is None:
        return _replace(store, name, pointer.first(name, version, digest), None, key, trusted)
    was, tag = before
    if (was.version, was.checksums) == (version, digest):
        return was, False
    return _replace(store, name, was.publishing(version, digest), tag, key, trusted)


def _replace(
    store: Store, name: str, wanted: Pointer, seen: str | None, key: SigningKey, trusted: Mapping[str, PublicKey]
) -> tuple[Pointer, bool]:
    """Write a pointer if the one before it is still as it was seen.

    Returns:
        What is current then, and False if somebody else has made the same version current meanwhile.

    Raises:
        PublishRefused: another version is; the message says which and by whom.
    """
    place = f"{name}/{pointer.FILE}"
    if store.replace(place, pointer.signed(wanted, key), seen):
        return wanted, True
    now = versions.read_pointer(store, name, trusted)
    if now is not None and (now[0].version, now[0].checksums) == (wanted.version, wanted.checksums):
        return now[0], False
    who = f"to {now[0].told()}" if now is not None else "away"
    raise PublishRefused(
        f"{store.at(place)} was moved meanwhile, {who}: version {wanted.version} is there and not current. "
        "Publish again if it is to be"
    )
