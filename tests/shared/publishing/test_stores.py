"""Places of published versions: a folder, and a real S3 server."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server

from paddlepress.core.errors import DataError, VerificationFailed
from paddlepress.core.progress import Silent
from paddlepress.publishing import s3_store
from paddlepress.publishing.places import open_store
from paddlepress.publishing.s3_store import S3Store

MIB = 2**20


def test_a_file_is_written_once(place: str, tmp_path: Path) -> None:
    """The second writer is told so, and what the first wrote stays."""
    store = open_store(place)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"first")
    second.write_bytes(b"other")
    assert store.put_new("a/1/file", first, Silent())
    assert not store.put_new("a/1/file", second, Silent())
    assert store.holds("a/1/file", first)
    assert not store.holds("a/1/file", second)
    assert not store.holds("a/1/absent", first)
    found = store.read("a/1/file", 10)
    assert found is not None and found.data == b"first"
    assert store.files("a/1/") == {"file": 5}
    assert store.files("a/2/") == {}


def test_one_of_eight_writers_moves_a_pointer(place: str) -> None:
    """All of them saw the same state; every round has exactly one winner, whose bytes are there."""
    store, start = open_store(place), threading.Barrier(8)
    seen: str | None = None
    for attempt in range(2):

        def move(number: int, at: int = attempt, tag: str | None = seen) -> bool:
            start.wait()
            return store.replace("a/current.json", f"{at}-{number}".encode(), tag)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(move, range(8)))
        after = store.read("a/current.json", 100)
        assert won.count(True) == 1
        assert after is not None and after.data == f"{attempt}-{won.index(True)}".encode()
        seen = after.tag


def test_what_is_larger_than_it_may_be_is_not_read(place: str, tmp_path: Path) -> None:
    """Neither as a small file nor as a download."""
    store, path = open_store(place), tmp_path / "file"
    path.write_bytes(b"x" * 100)
    store.put_new("a/file", path, Silent())
    with pytest.raises(VerificationFailed, match="is larger than the 99 bytes that it may have"):
        store.read("a/file", 99)
    with pytest.raises(VerificationFailed, match="is larger than the 99 bytes"):
        store.fetch("a/file", tmp_path / "into", 99, Silent())
    with pytest.raises(VerificationFailed, match=r"a/absent is missing"):
        store.fetch("a/absent", tmp_path / "into", 99, Silent())
    assert store.fetch("a/file", tmp_path / "into", 100, Silent()) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("location", ["gs://bucket/x", "", "s3://", "s3:///x"])
def test_what_is_no_place_is_refused(location: str) -> None:
    """In one line that says what is valid."""
    with pytest.raises(DataError, match=r"Valid: .*s3://bucket/"):
        open_store(location)


def test_a_file_is_no_place(tmp_path: Path) -> None:
    """Nor is a folder below a file one."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file; what is published goes into a folder"):
        open_store(str(tmp_path / "file"))


_KILLED = """
import os, signal, sys
from pathlib import Path
from paddlepress.core.progress import Silent
from paddlepress.publishing.s3_store import S3Store

class Dying(Silent):
    def track(self, items, total, description):
        for number, item in enumerate(items):
            if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield item

S3Store(sys.argv[1], 5 * 2**20).put_new("a/large", Path(sys.argv[2]), Dying())
"""


class _Counting:
    """An S3 client that counts the parts it sends."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.sent: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def upload_part(self, **arguments: Any) -> Any:
        self.sent.append(arguments["PartNumber"])
        return self._client.upload_part(**arguments)


@pytest.mark.services
def test_an_upload_that_was_killed_goes_on(s3: S3Server, tmp_path: Path) -> None:
    """Nothing is visible of it before its end; parts that are there are not sent again, unless they are other ones."""
    location = f"s3://{s3.bucket}/killed-upload"
    path = tmp_path / "large"
    path.write_bytes(os.urandom(17 * MIB))
    dead = subprocess.run([sys.executable, "-c", _KILLED, location, str(path)], timeout=600, check=False)
    assert dead.returncode == -signal.SIGKILL
    store = S3Store(location, 5 * MIB)
    assert store.files("a/") == {}
    counting = store._s3 = _Counting(store._s3)  # type: ignore[assignment]
    assert store.put_new("a/large", path, Silent())
    assert counting.sent == [3, 4]
    assert store.files("a/") == {"large": 17 * MIB}
    assert store.holds("a/large", path)
    assert S3Store(location, 8 * MIB).holds("a/large", path)  # parts of another size: it is read
    assert not store.put_new("a/large", path, Silent())
    assert (
        store.fetch("a/large", tmp_path / "into", 17 * MIB, Silent()) == hashlib.sha256(path.read_bytes()).hexdigest()
    )
    flipped = bytearray(path.read_bytes())
    flipped[9 * MIB] ^= 1
    path.write_bytes(flipped)
    assert not store.holds("a/large", path)


@pytest.mark.services
def test_parts_of_another_file_are_sent_again(s3: S3Server, tmp_path: Path) -> None:
    """What was being uploaded under the same name was something else."""
    location = f"s3://{s3.bucket}/other-upload"
    path = tmp_path / "large"
    path.write_bytes(os.urandom(16 * MIB))
    subprocess.run([sys.executable, "-c", _KILLED, location, str(path)], timeout=600, check=False)
    path.write_bytes(bytes(5 * MIB) + path.read_bytes()[5 * MIB :])
    store = S3Store(location, 5 * MIB)
    counting = store._s3 = _Counting(store._s3)  # type: ignore[assignment]
    assert store.put_new("a/large", path, Silent())
    assert counting.sent == [1, 3, 4]
    assert store.holds("a/large", path)


@pytest.mark.services
def test_s3_that_refuses_is_told_in_a_line(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is not there, and wrong credentials, for reading and for writing."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    absent = open_store("s3://no-such-bucket/prefix")
    for act in (lambda: absent.read("a", 9), lambda: absent.files("a/")):  # SeaweedFS makes a bucket for who writes
        with pytest.raises(DataError, match="there is no bucket 'no-such-bucket'"):
            act()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store(f"s3://{s3.bucket}/denied")
    for act in (lambda: store.read("a", 9), lambda: store.put_new("a", path, Silent()), lambda: store.holds("a", path)):
        with pytest.raises(DataError, match="access denied by"):
            act()


def _refusing(code: str, status: int) -> dict[str, Any]:
    return {"service_error_code": code, "http_status_code": status}


@pytest.mark.parametrize(
    ("answers", "moved"),
    [
        ([_refusing("ConditionalRequestConflict", 409), None], True),  # another request was under way: tried again
        ([_refusing("PreconditionFailed", 412)], False),
        ([_refusing("ConditionalRequestConflict", 409), _refusing("PreconditionFailed", 412)], False),
        ([_refusing("NoSuchKey", 404)], False),  # AWS, where the pointer was deleted
    ],
)
def test_aws_says_in_several_ways_that_somebody_was_first(
    answers: list[dict[str, Any] | None], moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are told apart from failures; what the other wrote may be longer."""
    store, stub = _stubbed(monkeypatch)
    for answer in answers:
        if answer is None:
            stub.add_response("put_object", {"ETag": "new"})
        else:
            stub.add_client_error("put_object", **answer)
    if not moved:
        stub.add_response("get_object", {"Body": BytesIO(b"theirs"), "ETag": "theirs"})
    assert store.replace("a/current.json", b"mine", "seen") is moved
    stub.assert_no_pending_responses()


def test_a_write_that_nobody_answered_is_found_to_have_won(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 sends a request again whose answer was lost, and the second loses to the first."""
    store, stub = _stubbed(monkeypatch)
    stub.add_client_error("put_object", **_refusing("PreconditionFailed", 412))
    stub.add_response("get_object", {"Body": BytesIO(b"mine"), "ETag": "mine"})
    assert store.replace("a/current.json", b"mine", "seen")


def test_s3_without_conditional_writes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a lost race."""
    store, stub = _stubbed(monkeypatch)
    stub.add_client_error("put_object", **_refusing("NotImplemented", 501))
    with pytest.raises(DataError, match=r"s3://bucket/prefix/a/current\.json: .* answered .*NotImplemented"):
        store.replace("a/current.json", b"mine", "seen")


def _stubbed(monkeypatch: pytest.MonkeyPatch) -> tuple[S3Store, Any]:
    """A store whose client gets the answers that it is told to get."""
    from botocore.stub import Stubber

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setattr(s3_store, "_CONFLICT_PAUSE_S", 0.0)
    store = S3Store("s3://bucket/prefix")
    stub = Stubber(store._s3)
    stub.activate()
    return store, stub
