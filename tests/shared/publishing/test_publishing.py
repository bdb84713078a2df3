"""A version on its way to production and back, to a folder and to a real S3 server."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from paddlepress.core.errors import PublishRefused, UsageError, VerificationFailed
from paddlepress.core.progress import Silent
from paddlepress.deployment.predictor import Predictor
from paddlepress.publishing import checksums, publisher, signatures, versions
from paddlepress.publishing.keys import by_id
from paddlepress.publishing.places import open_store
from paddlepress.publishing.pulling import pull
from paddlepress.publishing.s3_store import S3Store
from paddlepress.publishing.stores import Store
from paddlepress.registry.fetching import fetch_deployable, version_of
from tests.shared.publishing.conftest import BASE, STUDENT, KeyFile, Publish
from tests.shared.registry.conftest import NAME, Digits, Registry, Variant

FILES = {
    "repository/digits/1/model.onnx",
    "repository/digits/config.pbtxt",
    "deployable/graph.onnx.gz",
    "deployable/weights.safetensors.gz",
    "deployable/deployable.json.gz",
    "model-card.md",
    "bom.cdx.json",
    "manifest.json",
    "SHA256SUMS",
    "signature.json",
}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _version(folder: Path) -> int:
    version: int = json.loads((folder / "manifest.json").read_text())["version"]
    return version


def test_what_is_pulled_predicts_as_the_registry_does(
    place: str,
    publish: Publish,
    key: KeyFile,
    registry: Registry,
    digits: tuple[Digits, Digits],
    tmp_path: Path,
) -> None:
    """By a stock ONNX Runtime from the one file, and by the predictor from the encoded ones."""
    outcome = publish(place)
    assert (outcome.pointer.version, outcome.uploaded, outcome.moved) == (STUDENT, True, True)
    pulled = pull(f"{place}/{NAME}/current", tmp_path / "out", [key.key.public])
    assert (pulled.version, pulled.sequence, pulled.downloaded) == (STUDENT, 1, True)
    assert _files(tmp_path / "out") == FILES | {"pulled.json"}
    images = digits[1].images[:20]
    registered = fetch_deployable(registry.client, NAME, STUDENT, tmp_path)
    expected = Predictor.load(registered).predict(images)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "repository" / NAME / "1" / "model.onnx")
    np.testing.assert_allclose(session.run(["logits"], {"image": images})[0], expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(Predictor.load(tmp_path / "out" / "deployable").predict(images), expected)


def test_anybody_can_check_it_with_common_tools(publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """`sha256sum --check` reads the checksums, and `openssl` the signature over them."""
    import base64

    publish(str(tmp_path / "store"))
    folder = tmp_path / "store" / NAME / str(STUDENT)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "der").write_bytes(base64.b64decode(json.loads((folder / "signature.json").read_text())["signature"]))
    command = ["openssl", "dgst", "-sha256", "-verify", key.public, "-signature", tmp_path / "der", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_publishing_again_changes_nothing(place: str, publish: Publish, registry: Registry) -> None:
    """The same version is found there; the pointer stays, and the registry says where it is, once."""
    first = publish(place)
    store = open_store(place)
    before = store.read(f"{NAME}/current.json", 10_000)
    again = publish(place)
    assert (again.uploaded, again.moved) == (False, False)
    assert again.pointer == first.pointer
    assert store.read(f"{NAME}/current.json", 10_000) == before
    row = version_of(registry.client, NAME, str(STUDENT))
    (noted,) = [each for each in row.published if each.location == store.location]
    assert (noted.sequence, noted.key_id) == (1, first.key_id)


def test_what_was_measured_since_does_not_make_it_another(
    publish: Publish, registry: Registry, key: KeyFile, tmp_path: Path
) -> None:
    """A nightly run measures latencies anew: the version is the same, and its card stays as it was published."""
    store = open_store(str(tmp_path / "store"))
    publish(store)
    row = version_of(registry.client, NAME, str(STUDENT))
    measured = row.model_copy(update={"metrics": {**row.metrics, "accuracy": 1.0}})
    outcome = publisher.publish(registry.client, NAME, measured, store, key.key)
    assert (outcome.uploaded, outcome.moved) == (False, False)


def test_a_published_version_is_never_changed(
    publish: Publish, key: KeyFile, variants: dict[str, Variant], client: Any, tmp_path: Path
) -> None:
    """Where another registry has another model under the number, that is refused, and nothing there changes."""
    store = open_store(str(tmp_path / "store"))
    publish(store, BASE)
    before = checksums.of_folder(tmp_path / "store")
    assert variants["student"].register(client).version == BASE
    with pytest.raises(PublishRefused, match=r"is published already, with another deployable/.* is never changed"):
        publisher.publish(client, NAME, version_of(client, NAME, str(BASE)), store, key.key)
    assert checksums.of_folder(tmp_path / "store") == before


def test_a_rollback_makes_the_former_version_current(place: str, publish: Publish, key: KeyFile) -> None:
    """And publishing goes on from there; the number of the pointer rises each time."""
    publish(place, BASE)
    publish(place, STUDENT)
    store = open_store(place)
    back = publisher.roll_back(NAME, store, key.key).pointer
    assert (back.version, back.sequence, back.action, back.former) == (BASE, 3, "rolled-back", ())
    with pytest.raises(PublishRefused, match=r"version 1 is the first of digits .* none to go back to"):
        publisher.roll_back(NAME, store, key.key)
    forth = publish(place, STUDENT)
    assert (forth.uploaded, forth.moved) == (False, True)
    assert (forth.pointer.version, forth.pointer.sequence, forth.pointer.former) == (STUDENT, 4, (BASE,))


def test_nothing_published_is_nothing_to_roll_back(place: str, key: KeyFile) -> None:
    """In one line that names the place."""
    with pytest.raises(PublishRefused, match=r"nothing is published at .*digits/current\.json"):
        publisher.roll_back(NAME, open_store(place), key.key)


class _Meeting(Silent):
    """Has publishers wait for each other when all of them have read the pointer."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties, timeout=300)
        self._waited = threading.local()

    def track(self, items: Any, total: int, description: str) -> Any:
        if not getattr(self._waited, "done", False):
            self._waited.done = True
            self._barrier.wait()
        yield from items


def test_of_publishers_at_once_one_wins(place: str, publish: Publish, key: KeyFile, registry: Registry) -> None:
    """Eight publish two versions at once: one version is current; who lost is told by whom, and can publish again."""
    publish(place, BASE)
    publish(place, STUDENT)
    store, meeting = open_store(place), _Meeting(8)
    before = publisher.roll_back(NAME, store, key.key).pointer
    publish(place, STUDENT)
    rows = {version: version_of(registry.client, NAME, str(version)) for version in (BASE, STUDENT)}

    def compete(number: int) -> Any:
        try:
            return publisher.roll_back(NAME, store, key.key, progress=meeting)
        except PublishRefused as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(compete, range(8)))
    found = versions.read_pointer(store, NAME, by_id([key.key.public]))
    assert found is not None
    assert found[0].sequence == before.sequence + 2, "the pointer moved once"
    assert found[0].version == BASE
    assert [outcome.moved for outcome in outcomes if not isinstance(outcome, Exception)].count(True) == 1
    assert all(outcome.pointer == found[0] for outcome in outcomes if not isinstance(outcome, Exception))
    assert publisher.publish(registry.client, NAME, rows[STUDENT], store, key.key).moved


def _write(store: Store, key: str, data: bytes | None) -> None:
    """What somebody with access to the place can do: write a file, or delete it."""
    if isinstance(store, S3Store):
        place = store._place(key)
        if data is None:
            store._s3.delete_object(Bucket=place.bucket, Key=place.key)
        else:
            store._s3.put_object(Bucket=place.bucket, Key=place.key, Body=data)
        return
    path = Path(store.at(key))
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


def _refused(place: str, key: KeyFile, folder: Path, message: str, version: str = "current", **options: Any) -> None:
    """Pulling is refused in one line, and the folder stays as it was."""
    before = checksums.of_folder(folder) if folder.exists() else None
    with pytest.raises(VerificationFailed, match=message) as caught:
        pull(f"{place}/{NAME}/{version}", folder, [key.key.public], **options)
    assert "\n" not in str(caught.value)
    assert (checksums.of_folder(folder) if folder.exists() else None) == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(f".{folder.name}")] == []


def test_a_changed_bit_in_any_file_is_noticed(place: str, publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """Whichever file it is in, nothing of the version is used."""
    publish(place)
    store = open_store(place)
    for file in [f"{STUDENT}/{name}" for name in sorted(FILES)] + ["current.json"]:
        found = store.read(f"{NAME}/{file}", 10**7)
        assert found is not None
        flipped = bytearray(found.data)
        flipped[len(flipped) // 2] ^= 1
        _write(store, f"{NAME}/{file}", bytes(flipped))
        at = "(?s).*" if file.endswith(("current.json", "signature.json", "SHA256SUMS")) else f".*{file}.*altered"
        _refused(place, key, tmp_path / "out", at)
        _write(store, f"{NAME}/{file}", found.data)
    assert pull(f"{place}/{NAME}/current", tmp_path / "out", [key.key.public]).downloaded


def test_missing_and_strange_files_are_noticed(place: str, publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """One that is gone, one too many, and one that is longer."""
    publish(place)
    store, prefix = open_store(place), f"{NAME}/{STUDENT}"
    for file in sorted(FILES - {"SHA256SUMS", "signature.json"}):
        found = store.read(f"{prefix}/{file}", 10**7)
        assert found is not None
        _write(store, f"{prefix}/{file}", None)
        _refused(place, key, tmp_path / "out", f"{file} is missing")
        _write(store, f"{prefix}/{file}", found.data)
    _write(store, f"{prefix}/repository/{NAME}/2.onnx", b"strange")
    _refused(place, key, tmp_path / "out", r"2\.onnx is not among the files that were signed")
    _write(store, f"{prefix}/repository/{NAME}/2.onnx", None)
    card = store.read(f"{prefix}/model-card.md", 10**6)
    assert card is not None
    _write(store, f"{prefix}/model-card.md", card.data + b"more")
    _refused(place, key, tmp_path / "out", "model-card.md has .* bytes, manifest.json says")


def test_what_is_not_signed_by_a_trusted_key_is_refused(
    place: str, publish: Publish, key: KeyFile, other_key: KeyFile, tmp_path: Path
) -> None:
    """By no key, by another one, and by another one that claims to be the right one."""
    outcome = publish(place, by=other_key)
    store, out = open_store(place), tmp_path / "out"
    for version in ("current", str(STUDENT)):
        _refused(place, key, out, f"is signed by the key {outcome.key_id[:12]}, which is not trusted", version)
    assert pull(f"{place}/{NAME}/current", tmp_path / "other", [key.key.public, other_key.key.public]).downloaded
    sums = store.read(f"{NAME}/{STUDENT}/SHA256SUMS", 10**5)
    assert sums is not None
    forged = signatures.sign(sums.data, other_key.key).model_copy(update={"key_id": key.key.public.id})
    _write(store, f"{NAME}/{STUDENT}/signature.json", forged.model_dump_json().encode())
    _refused(place, key, out, "does not match its signature", str(STUDENT))
    _write(store, f"{NAME}/{STUDENT}/signature.json", None)
    _refused(place, key, out, "is not signed, or not there", str(STUDENT))
    current = store.read(f"{NAME}/current.json", 10**5)
    assert current is not None
    content = json.loads(current.data)
    del content["signature"]
    _write(store, f"{NAME}/current.json", json.dumps(content).encode())
    _refused(place, key, out, "current.json is not signed")
    _write(store, f"{NAME}/current.json", None)
    _refused(place, key, out, "nothing is published at")
    _refused(place, key, out, "not there", "7")


def test_an_old_pointer_put_back_is_noticed(place: str, publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """By the number that the folder remembers, even where older versions are allowed."""
    publish(place, BASE)
    store, out = open_store(place), tmp_path / "out"
    old = store.read(f"{NAME}/current.json", 10**5)
    assert old is not None
    publish(place, STUDENT)
    pull(f"{place}/{NAME}/current", out, [key.key.public])
    _write(store, f"{NAME}/current.json", old.data)
    _refused(place, key, out, "is an old pointer put back: it has the number 1, and 2 was followed")
    _refused(place, key, out, "is an old pointer put back", allow_older=True)
    _refused(place, key, tmp_path / "new", "version 1 of digits is older than --at-least 2", at_least=2)


def test_an_older_version_is_taken_only_if_that_is_said(publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """After a rollback, and by its number; what was the highest is remembered all the same."""
    place, out = str(tmp_path / "store"), tmp_path / "out"
    publish(place, BASE)
    publish(place, STUDENT)
    pull(f"{place}/{NAME}/current", out, [key.key.public])
    publisher.roll_back(NAME, open_store(place), key.key)
    for version in ("current", str(BASE)):
        _refused(place, key, out, "version 1 of digits is older than version 2, which was here before", version)
    assert pull(f"{place}/{NAME}/current", out, [key.key.public], allow_older=True).version == BASE
    assert _version(out) == BASE
    _refused(place, key, out, "older than version 2, which was here before")
    assert pull(f"{place}/{NAME}/{STUDENT}", out, [key.key.public]).version == STUDENT


def test_one_version_in_the_place_of_another_is_noticed(publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """A whole folder, rightly signed, under another number or another name."""
    store = tmp_path / "store"
    publish(str(store), BASE)
    publish(str(store), STUDENT)
    shutil.rmtree(store / NAME / str(STUDENT))
    shutil.copytree(store / NAME / str(BASE), store / NAME / str(STUDENT))
    _refused(str(store), key, tmp_path / "out", "is that of version 1 of 'digits', which was put in the place of")
    shutil.copytree(store / NAME, store / "letters")
    with pytest.raises(VerificationFailed, match="is the pointer of 'digits', not of 'letters'"):
        pull(f"{store}/letters/current", tmp_path / "out", [key.key.public])
    with pytest.raises(VerificationFailed, match="put in the place of version 1 of 'letters'"):
        pull(f"{store}/letters/1", tmp_path / "out", [key.key.public])


def test_pulling_again_downloads_only_what_is_not_here(publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """A folder that is whole stays; one in which something was changed is made whole again."""
    place, out = str(tmp_path / "store"), tmp_path / "out"
    publish(place)
    pull(f"{place}/{NAME}/current", out, [key.key.public])
    assert not pull(f"{place}/{NAME}/current", out, [key.key.public]).downloaded
    (out / "model-card.md").write_text("mine")
    (out / "extra").write_text("mine")
    assert pull(f"{place}/{NAME}/current", out, [key.key.public]).downloaded
    assert _files(out) == FILES | {"pulled.json"}
    assert not pull(f"{place}/{NAME}/{STUDENT}", out, [key.key.public]).downloaded


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("store", "'store' is no published version. Valid: PLACE/NAME/current"),
        ("{store}/digits", "is no published version"),
        ("{store}/digits/latest", "is no published version"),
        ("{store}/digits/0", "is no published version"),
        ("s3://bucket/current", "is no published version|is no S3 location"),
        ("", "is no published version"),
    ],
)
def test_what_is_no_published_version_is_told(location: str, message: str, key: KeyFile, tmp_path: Path) -> None:
    """With what is valid."""
    with pytest.raises(UsageError, match=message):
        pull(location.format(store=tmp_path / "store"), tmp_path / "out", [key.key.public])


def test_a_folder_of_something_else_is_not_touched(publish: Publish, key: KeyFile, tmp_path: Path) -> None:
    """Files of one's own, another place's version, a file, a memory that can't be read."""
    place, out = str(tmp_path / "store"), tmp_path / "out"
    publish(place)
    out.mkdir()
    pull(f"{place}/{NAME}/current", out, [key.key.public])  # an empty folder is as good as none
    shutil.copytree(place, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"pull digits of .*elsewhere into another folder"):
        pull(f"{tmp_path / 'elsewhere'}/{NAME}/current", out, [key.key.public])
    (out / "pulled.json").write_text('{"version": "x"}')
    with pytest.raises(UsageError, match=r"pulled\.json is damaged: .* Delete .* to begin anew"):
        pull(f"{place}/{NAME}/current", out, [key.key.public])
    (out / "pulled.json").unlink()
    with pytest.raises(UsageError, match="holds something that was not pulled"):
        pull(f"{place}/{NAME}/current", out, [key.key.public])
    with pytest.raises(UsageError, match="is no folder"):
        pull(f"{place}/{NAME}/current", tmp_path / "store" / NAME / "current.json", [key.key.public])


def test_what_was_cut_off_is_not_visible_and_goes_on(
    place: str, publish: Publish, key: KeyFile, tmp_path: Path
) -> None:
    """A publisher that dies at any file leaves the version before current; the next one adds what is missing."""
    publish(place, BASE)
    store = open_store(place)

    class Dying(Silent):
        def track(self, items: Any, total: int, description: str) -> Any:
            if description.endswith(("deployable.json.gz", "SHA256SUMS", "signature.json")[self.at]):
                raise KeyboardInterrupt
            yield from items

        def __init__(self, at: int) -> None:
            self.at = at

    for at in range(3):
        with pytest.raises(KeyboardInterrupt):
            publish(place, STUDENT, progress=Dying(at))
        assert pull(f"{place}/{NAME}/current", tmp_path / f"out{at}", [key.key.public]).version == BASE
        _refused(place, key, tmp_path / "none", "is not signed, or not there", str(STUDENT))
    assert 0 < len(store.files(f"{NAME}/{STUDENT}/")) < len(FILES)
    outcome = publish(place, STUDENT)
    assert (outcome.uploaded, outcome.moved) == (True, True)
    assert pull(f"{place}/{NAME}/current", tmp_path / "out", [key.key.public]).version == STUDENT


def test_other_remains_are_not_signed(place: str, publish: Publish, tmp_path: Path) -> None:
    """What lies there of an attempt with other contents, or of somebody else, is told, and stays."""
    store, strange = open_store(place), tmp_path / "strange"
    strange.write_text("another card")
    store.put_new(f"{NAME}/{STUDENT}/model-card.md", strange, Silent())
    with pytest.raises(
        PublishRefused, match=r"model-card\.md holds other bytes .*; delete .*digits/2/? and publish again"
    ):
        publish(place)
    store.put_new(f"{NAME}/{STUDENT}/notes.txt", strange, Silent())
    with pytest.raises(PublishRefused, match=r"notes\.txt is no file of this version"):
        publish(place)
    assert store.read(f"{NAME}/current.json", 10**5) is None


def test_a_pointer_of_another_key_is_not_built_on(
    place: str, publish: Publish, key: KeyFile, other_key: KeyFile, tmp_path: Path
) -> None:
    """Unless that key is trusted: then the numbers go on, and whoever pulls needs both keys for a while."""
    publish(place, BASE, by=other_key)
    with pytest.raises(VerificationFailed, match=r"current\.json is signed by the key .*, which is not trusted"):
        publish(place, STUDENT)
    outcome = publish(place, STUDENT, trusted=[other_key.key.public])
    assert outcome.pointer.sequence == 2
    assert pull(f"{place}/{NAME}/current", tmp_path / "out", [key.key.public]).version == STUDENT
    back = publisher.roll_back(NAME, open_store(place), key.key, [other_key.key.public])
    assert (back.pointer.version, back.key_id) == (BASE, other_key.key.public.id)
