"""S3 through boto3, set up by the usual AWS_* variables, AWS_ENDPOINT_URL among them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import DataError
from paddlepress.core.files import disk_full, replacing, sha256_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SHA256 = "sha256"
"""The key of an object's metadata that holds the hexadecimal SHA-256 of its bytes."""

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 60
ATTEMPTS = 3

_FORM = "s3://bucket/key for an object, s3://bucket/prefix/ for a folder"


@dataclass(frozen=True)
class Location:
    """A bucket and a key; a key that is empty or ends in a slash is a prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last part of the key, or the bucket's name if there is none."""
        return PurePosixPath(self.key).name or self.bucket


def parse(location: str) -> Location:
    """Split `s3://bucket/key`.

    Raises:
        DataError: it has another form.
    """
    found = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", location)
    if found is None or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", found.group(1)):
        raise DataError(f"{location!r} is no S3 location. Valid: {_FORM}")
    return Location(found.group(1), found.group(2) or "")


def client(purpose: object = "S3") -> S3Client:
    """A client that gives up on an endpoint within seconds.

    Args:
        purpose: what an error is to name, such as the location that it is for.

    Raises:
        DataError: the AWS_* variables or AWS configuration files can't be used.
    """
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        # A session of its own: the default one keeps the first credentials that it ever saw.
        return Session().client(
            "s3",
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise DataError(f"{purpose}: no S3 client: {_one_line(error)}. Check the AWS_* variables") from None


def download(source: Location, into: Path) -> Path:
    """Download an object, or every object below a prefix, to `into / source.name`.

    Each file's size and, where the object states one, its SHA-256 are checked.

    Raises:
        DataError: the bucket or object is missing, S3 can't be reached or refuses, or what arrived is
            not what was stored.
    """
    s3 = client(source)
    target = into / source.name
    with told(source, s3), _written(target) as temporary:
        if not source.is_prefix:
            _download_object(s3, source, temporary)
            return target
        found = 0
        for key in _keys(s3, source):
            _download_object(s3, Location(source.bucket, key), temporary / _below(source, key))
            found += 1
        if not found:
            raise DataError(f"{source}: no objects below this prefix")
    return target


def upload(path: Path, location: str) -> str:
    """Upload a file, or every file below a directory, with its SHA-256 as metadata.

    Files are sent in the order of their names, one after another.

    Returns:
        The location of the object, or of the prefix.

    Raises:
        DataError: S3 can't be reached or refuses.
    """
    target = parse(location)
    prefix = target.key if target.is_prefix else f"{target.key}/"
    if path.is_dir():
        target = Location(target.bucket, prefix)
        files = {prefix + p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
        if not files:
            raise DataError(f"nothing to copy to {target}: {path} holds no files")
    else:
        if target.is_prefix:
            target = Location(target.bucket, prefix + path.name)
        files = {target.key: path}
    s3 = client(target)
    for key, file in files.items():
        with told(Location(target.bucket, key), s3):
            extra: dict[str, Any] = {"Metadata": {SHA256: sha256_of(file)}, "ChecksumAlgorithm": "SHA256"}
            s3.upload_file(str(file), target.bucket, key, ExtraArgs=extra)
    return str(target)


def _keys(s3: S3Client, source: Location) -> Iterator[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.key)
    for page in pages:
        for item in page.get("Contents", []):
            if not item["Key"].endswith("/"):  # some tools keep empty objects as folders
                yield item["Key"]


def _below(source: Location, key: str) -> PurePosixPath:
    """A key's path below a prefix; keys are free text, so that one could point out of the folder."""
    relative = PurePosixPath(key[len(source.key) :])
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise DataError(f"{Location(source.bucket, key)}: this key would be written outside of its folder")
    return relative


def _download_object(s3: S3Client, source: Location, path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    head = s3.head_object(Bucket=source.bucket, Key=source.key, ChecksumMode="ENABLED")
    path.parent.mkdir(parents=True, exist_ok=True)
    config = TransferConfig(num_download_attempts=ATTEMPTS)
    s3.download_file(source.bucket, source.key, str(path), Config=config)
    size = path.stat().st_size
    if size != head["ContentLength"]:
        raise DataError(f"{source}: {size} bytes arrived, the object has {head['ContentLength']}. Try again")
    stated = {value.lower() for value in (head["Metadata"].get(SHA256, ""), _full_checksum(head)) if value}
    if stated and stated != {actual := sha256_of(path)}:
        wrong = min(stated - {actual})
        raise DataError(f"{source}: what arrived has SHA-256 {actual}, the object states {wrong}: it is damaged")


def _full_checksum(head: Any) -> str:
    """The object's own SHA-256 in hexadecimal; empty if it has none, or only one of its parts' checksums."""
    stated = head.get("ChecksumSHA256", "")
    if not stated or "-" in stated or head.get("ChecksumType") == "COMPOSITE":
        return ""
    return base64.b64decode(stated).hex()


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    try:
        with replacing(target) as temporary:
            yield temporary
    except OSError as error:
        # botocore's own errors are told apart by _told; a socket's never gets here.
        raise disk_full(error, target) or DataError(f"can't write {target}: {error.strerror or error}") from None


@contextmanager
def told(location: Location, s3: S3Client) -> Iterator[None]:
    """Turn what boto3 raises into one line that names the location."""
    from boto3.exceptions import Boto3Error, RetriesExceededError
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise DataError(f"{location}: {_refusal(error, location, s3)}") from None
    except RetriesExceededError as error:
        reason = _one_line(getattr(error, "last_exception", error))  # not among the stubs
        raise DataError(f"{location}: the download broke off {ATTEMPTS} times: {reason}") from None
    except Boto3Error as error:
        cause = error.__context__
        reason = _refusal(cause, location, s3) if isinstance(cause, boto.ClientError) else _one_line(error)
        raise DataError(f"{location}: {reason}") from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise DataError(
            f"{location}: there are no S3 credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except (boto.HTTPClientError, boto.ConnectionError) as error:
        raise DataError(f"{location}: {_endpoint(s3)} can't be reached: {_one_line(error)}") from None
    except boto.BotoCoreError as error:
        raise DataError(f"{location}: {_one_line(error)}") from None


def _refusal(error: Any, location: Location, s3: S3Client) -> str:
    from botocore import exceptions as boto

    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return f"there is no bucket {location.bucket!r} at {_endpoint(s3)}"
    if status == 404:
        # A HEAD request says 404 and no more: ask which of the two is missing.
        try:
            s3.head_bucket(Bucket=location.bucket)
        except boto.ClientError as other:
            if other.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return f"there is no bucket {location.bucket!r} at {_endpoint(s3)}"
        except boto.BotoCoreError:
            pass
        return "there is no such object. A folder's location ends in a slash"
    if status in (401, 403):
        return f"access denied by {_endpoint(s3)} ({code}). Check the AWS_* credentials and the bucket's policy"
    return f"{_endpoint(s3)} answered {_one_line(error)}"


def _endpoint(s3: S3Client) -> str:
    source = " (AWS_ENDPOINT_URL)" if {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & set(os.environ) else ""
    return f"{s3.meta.endpoint_url}{source}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
