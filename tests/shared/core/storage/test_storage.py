"""Files in S3 and on the local disk, against a real S3 server."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server

from paddlepress.core.errors import DataError
from paddlepress.core.storage import fetch, push

services = pytest.mark.services


def put(s3: S3Server, key: str, body: bytes, **metadata: str) -> str:
    s3.client().put_object(Bucket=s3.bucket, Key=key, Body=body, Metadata=metadata)
    return f"s3://{s3.bucket}/{key}"


def test_a_local_path_is_returned_as_it_is(tmp_path: Path) -> None:
    """A local path is neither copied nor checked."""
    assert fetch(str(tmp_path / "absent.bin"), tmp_path / "into") == tmp_path / "absent.bin"
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize(
    "location", ["gs://bucket/key", "https://example.org/x", "s3://", "s3:///key", "s3://a b/x", ""]
)
def test_a_location_that_is_neither_local_nor_s3_is_refused(location: str, tmp_path: Path) -> None:
    """Another scheme, or S3 without a bucket, is refused in one line that says what is valid."""
    with pytest.raises(DataError, match=r"Valid: .*s3://bucket/key") as caught:
        fetch(location, tmp_path)
    assert "\n" not in str(caught.value)


def test_boto3_is_not_loaded_for_local_paths() -> None:
    """Fetching a local path imports no boto3."""
    code = (
        "import sys, pathlib, paddlepress.core.storage as s; s.fetch('x', pathlib.Path('y')); "
        "print([m for m in sys.modules if m.startswith('boto')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@services
def test_a_file_goes_to_s3_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    """A pushed file is stored with its SHA-256 and fetched under its own name."""
    source = tmp_path / "weights.bin"
    source.write_bytes(os.urandom(1000))
    location = push(source, f"s3://{s3.bucket}/file/round/")
    assert location == f"s3://{s3.bucket}/file/round/weights.bin"
    head = s3.client().head_object(Bucket=s3.bucket, Key="file/round/weights.bin")
    assert head["Metadata"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    fetched = fetch(location, tmp_path / "into")
    assert fetched == tmp_path / "into" / "weights.bin"
    assert fetched.read_bytes() == source.read_bytes()
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["weights.bin"]


@services
def test_a_large_file_goes_in_parts(s3: S3Server, tmp_path: Path) -> None:
    """A file above the multipart threshold arrives whole."""
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(9 * 2**20))
    location = push(source, f"s3://{s3.bucket}/large.bin")
    assert s3.client().head_object(Bucket=s3.bucket, Key="large.bin")["ETag"].endswith('-2"')
    assert fetch(location, tmp_path / "into").read_bytes() == source.read_bytes()


@services
def test_a_folder_goes_to_s3_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    """A pushed directory is a prefix; fetching the prefix gives the same files, and no others."""
    bundle = tmp_path / "bundle"
    (bundle / "deep").mkdir(parents=True)
    (bundle / "model.json").write_text("{}")
    (bundle / "deep" / "weights.bin").write_bytes(b"w")
    location = push(bundle, f"s3://{s3.bucket}/folders/one")
    put(s3, "folders/one-more/other", b"not in the folder")
    put(s3, "folders/one/empty/", b"")
    fetched = fetch(location, tmp_path / "into")
    assert fetched == tmp_path / "into" / "one"
    assert {p.relative_to(fetched).as_posix() for p in fetched.rglob("*") if p.is_file()} == {
        "model.json",
        "deep/weights.bin",
    }


@services
def test_a_second_fetch_replaces_the_first(s3: S3Server, tmp_path: Path) -> None:
    """What a folder held before is gone once the new download is complete."""
    put(s3, "replaced/a", b"1")
    fetched = fetch(f"s3://{s3.bucket}/replaced/", tmp_path)
    (fetched / "stale").write_text("old")
    put(s3, "replaced/a", b"2")
    fetch(f"s3://{s3.bucket}/replaced/", tmp_path)
    assert {p.name: p.read_bytes() for p in fetched.iterdir()} == {"a": b"2"}


@services
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://{bucket}/absent", "no such object"),
        ("s3://{bucket}/absent/", "no objects below"),
        ("s3://no-such-bucket/x", "no bucket 'no-such-bucket'"),
        ("s3://no-such-bucket/x/", "no bucket 'no-such-bucket'"),
    ],
)
def test_what_is_missing_is_told(location: str, message: str, s3: S3Server, tmp_path: Path) -> None:
    """A missing bucket, object or folder is one line that names the location, and nothing is written."""
    location = location.format(bucket=s3.bucket)
    with pytest.raises(DataError, match=message) as caught:
        fetch(location, tmp_path)
    assert str(caught.value).startswith(f"{location}: ") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@services
@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_denied(
    variable: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong credentials are told as such, for reading and for writing."""
    location = put(s3, "denied/x", b"secret")
    monkeypatch.setenv(variable, "wrong")
    source = tmp_path / "y"
    source.write_text("y")
    for act in (lambda: fetch(location, tmp_path), lambda: push(source, location)):
        with pytest.raises(DataError, match=r"denied/x: access denied by .*AWS_"):
            act()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_an_endpoint_that_is_not_there(credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint where nobody listens is named together with the variable it came from."""
    with socket.socket() as closed:  # bound, so that no one else takes it, but not listening
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        source = tmp_path / "y"
        source.write_text("y")
        for act in (
            lambda: fetch("s3://bucket/key", tmp_path),
            lambda: fetch("s3://bucket/key/", tmp_path),
            lambda: push(source, "s3://bucket/key"),
        ):
            with pytest.raises(
                DataError, match=rf"^s3://bucket/key/?: {endpoint} \(AWS_ENDPOINT_URL\) can't be reached"
            ):
                act()


def test_an_endpoint_that_is_no_url(credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS_ENDPOINT_URL that is no URL is told in one line."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(DataError, match=r"^s3://bucket/key: .*nonsense.*AWS_"):
        fetch("s3://bucket/key", tmp_path)


def test_missing_credentials(credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the message names the variables to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"^s3://bucket/key: there are no S3 credentials. Set AWS_ACCESS_KEY_ID"):
        fetch("s3://bucket/key", tmp_path)


@services
def test_an_object_that_is_not_what_was_stored(s3: S3Server, tmp_path: Path) -> None:
    """An object that does not match the SHA-256 in its metadata is refused and leaves no file behind."""
    location = put(s3, "damaged.bin", b"abc", sha256="0" * 64)
    with pytest.raises(DataError, match=r"damaged.bin: .* 000000.*: it is damaged"):
        fetch(location, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


class Lying(BaseHTTPRequestHandler):
    """An S3 that sends other bytes than it states."""

    body = b""
    stated = b""

    def do_HEAD(self) -> None:
        self._headers()

    def do_GET(self) -> None:
        self._headers()
        self.wfile.write(self.body)
        self.close_connection = True

    def _headers(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.stated)))
        self.send_header("ETag", '"tag"')
        self.send_header("x-amz-meta-sha256", hashlib.sha256(self.stated).hexdigest())
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture
def lying(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Lying]]:
    handler = type("Handler", (Lying,), {"stated": b"x" * 1000})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"x" * 500, "the download broke off"), (b"x" * 999 + b"y", "it is damaged")],
    ids=["cut off", "one byte changed"],
)
def test_a_download_that_is_damaged_on_the_way(body: bytes, message: str, lying: type[Lying], tmp_path: Path) -> None:
    """A download that breaks off or arrives changed is an error, and leaves no file behind."""
    lying.body = body
    with pytest.raises(DataError, match=rf"^s3://bucket/key: .*{message}") as caught:
        fetch("s3://bucket/key", tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_points_out_of_its_folder(tmp_path: Path) -> None:
    """A key with `..` below a prefix is refused: it would be written elsewhere."""
    from paddlepress.core.storage.s3 import Location, _below

    with pytest.raises(DataError, match="outside of its folder"):
        _below(Location("bucket", "data/"), "data/../../evil")
    with pytest.raises(DataError, match="outside of its folder"):
        _below(Location("bucket", "data/"), "data//etc/evil")


def test_pushing_to_a_local_path(tmp_path: Path) -> None:
    """Files and folders are copied where the location is local."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    push(tmp_path / "a", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "x").read_text() == "1"
    assert push(tmp_path / "a" / "x", f"{tmp_path}/new/") == str(tmp_path / "new" / "x")
    assert (tmp_path / "new" / "x").read_text() == "1"


def test_pushing_nothing(tmp_path: Path) -> None:
    """A path that does not exist, or a folder without files, can't be pushed."""
    with pytest.raises(DataError, match="absent does not exist"):
        push(tmp_path / "absent", "s3://bucket/key")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        push(tmp_path / "empty", "s3://bucket/key")
