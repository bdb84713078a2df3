"""Published versions in S3: conditional writes, checksums that the server computes, uploads that go on.

A file of up to one part is one PUT; a larger one is a multipart upload whose parts are found again after an
interruption, by their checksums. `If-None-Match: *` keeps what is published from being written again, `If-Match`
lets one of several writers of a pointer win.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import DataError, VerificationFailed
from paddlepress.core.files import sha256_of
from paddlepress.core.progress import Progress
from paddlepress.core.storage.s3 import ATTEMPTS, SHA256, Location, client, parse, told
from paddlepress.publishing.stores import MOST_FILES, Stored, normalized

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3.client import S3Client

PART = 8 * 2**20
"""Bytes of a part; S3 takes 10,000 of them, of 5 MiB at the least."""

_CHUNK = 2**20  # bytes read at once
_SMALL = 2**20  # bytes of a file that is replaced
_CONFLICT_PAUSE_S = 0.2
_LOST = "PreconditionFailed"  # the object is not as the request says
_BUSY = "ConditionalRequestConflict"  # another request on it is under way, which AWS says to try again after
_GONE_UPLOAD = ("NoSuchUpload", "InvalidPart", "InvalidPartOrder")


@dataclass(frozen=True)
class _Part:
    number: int
    data: bytes

    @property
    def sha256(self) -> str:
        return _base64(hashlib.sha256(self.data).digest())

    @property
    def md5(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()


class S3Store:
    """A prefix in a bucket; credentials and endpoint come by boto3's own chain."""

    def __init__(self, location: str, part_bytes: int = PART) -> None:
        self.location = normalized(location)
        place = parse(self.location)
        self._bucket = place.bucket
        self._prefix = f"{place.key}/" if place.key else ""
        self._part_bytes = part_bytes
        self._s3: S3Client = client(place)

    def at(self, key: str) -> str:
        return str(self._place(key))

    def read(self, key: str, limit: int) -> Stored | None:
        from botocore.exceptions import ClientError

        place = self._place(key)
        with told(place, self._s3):
            try:
                found = self._s3.get_object(Bucket=place.bucket, Key=place.key)
            except ClientError as error:
                if _code(error) != "NoSuchKey":
                    raise
                self._s3.head_bucket(Bucket=place.bucket)  # some servers say the same of a bucket
                return None
            data = found["Body"].read(limit + 1)
        if len(data) > limit:
            raise VerificationFailed(f"{place} is larger than the {limit:,} bytes that it may have")
        return Stored(data, found["ETag"])

    def files(self, prefix: str) -> dict[str, int]:
        place = self._place(prefix)
        found: dict[str, int] = {}
        with told(place, self._s3):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
            for page in pages:
                for item in page.get("Contents", []):
                    path = item["Key"][len(place.key) :]
                    if path and not (path.endswith("/") and not item["Size"]):  # empty objects as folders
                        found[path] = item["Size"]
                if len(found) > MOST_FILES:
                    raise VerificationFailed(f"{place} holds more than {MOST_FILES:,} files: no published version")
        return found

    def put_new(self, key: str, path: Path, progress: Progress) -> bool:
        size = path.stat().st_size
        if size > self._part_bytes:
            return self._put_in_parts(key, path, progress)
        (part,) = progress.track(self._parts(path), 1, key)
        return self._put(key, part.data, part.sha256, {"IfNoneMatch": "*"})

    def holds(self, key: str, path: Path) -> bool:
        place = self._place(key)
        head = self._head(place)
        if head is None or head["ContentLength"] != path.stat().st_size:
            return False
        if head.get("ChecksumSHA256") in (self._whole(path), self._composite(path)):
            return True
        # A server that keeps no checksums, or parts of another size: what is there has to be read.
        digest, _ = self._received(place, head["ContentLength"], None)
        return digest == sha256_of(path)

    def replace(self, key: str, data: bytes, seen: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen}
        if self._put(key, data, _base64(hashlib.sha256(data).digest()), condition):
            return True
        # A request that was answered by nobody is sent again by boto3: the second may have lost to the first.
        now = self.read(key, _SMALL)
        return now is not None and now.data == data

    def fetch(self, key: str, into: Path, limit: int, progress: Progress) -> str:
        place = self._place(key)
        head = self._head(place)
        if head is None:
            raise VerificationFailed(f"{place} is missing")
        if head["ContentLength"] > limit:
            raise VerificationFailed(f"{place} is larger than the {limit:,} bytes that it may have")
        with into.open("wb") as sink:
            digest, _ = self._received(place, head["ContentLength"], sink, head["ETag"], progress)
        return digest

    def _place(self, key: str) -> Location:
        return Location(self._bucket, self._prefix + key)

    def _head(self, place: Location) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with told(place, self._s3):
            try:
                return dict(self._s3.head_object(Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED"))
            except ClientError as error:
                if _code(error) not in ("404", "NoSuchKey"):
                    raise
                self._s3.head_bucket(Bucket=place.bucket)  # which of the two is missing
                return None

    def _put(self, key: str, data: bytes, sha256: str, condition: dict[str, str]) -> bool:
        """Write an object under a condition; False if it is not met."""
        from botocore.exceptions import ClientError

        place = self._place(key)
        request: dict[str, Any] = {
            "Bucket": place.bucket,
            "Key": place.key,
            "Body": data,
            "ChecksumSHA256": sha256,
            "Metadata": {SHA256: base64.b64decode(sha256).hex()},
            **condition,
        }
        with told(place, self._s3):
            for attempt in range(ATTEMPTS):
                try:
                    self._s3.put_object(**request)
                    return True
                except ClientError as error:
                    missing = "IfMatch" in condition and _code(error) in ("NoSuchKey", "404")
                    if _code(error) == _LOST or missing:
                        return False
                    if _code(error) != _BUSY:
                        raise
                    time.sleep(_CONFLICT_PAUSE_S * 2**attempt)
        return False

    def _put_in_parts(self, key: str, path: Path, progress: Progress) -> bool:
        from botocore.exceptions import ClientError

        place = self._place(key)
        for attempt in range(ATTEMPTS):
            if self._head(place) is not None:
                return False
            upload, there = self._begun(place) if attempt == 0 else ("", {})
            with told(place, self._s3):
                upload = upload or self._begin(place, path)
                try:
                    sent = [
                        self._send(place, upload, part, there)
                        for part in progress.track(self._parts(path), self._count(path), key)
                    ]
                    self._s3.complete_multipart_upload(
                        Bucket=place.bucket,
                        Key=place.key,
                        UploadId=upload,
                        MultipartUpload={"Parts": sent},  # type: ignore[typeddict-item]
                        IfNoneMatch="*",
                    )
                    return True
                except ClientError as error:
                    if _code(error) == _LOST:
                        self._abort(place, upload)
                        return False
                    # Somebody else has finished or dropped the upload, or sent other parts into it.
                    if _code(error) not in (*_GONE_UPLOAD, _BUSY) or attempt == ATTEMPTS - 1:
                        raise
                    self._abort(place, upload)
        return False

    def _begun(self, place: Location) -> tuple[str, dict[int, Any]]:
        """An upload of this object that was interrupted, and its parts by number; an empty id if there is none."""
        from botocore.exceptions import ClientError

        try:
            listed = self._s3.list_multipart_uploads(Bucket=place.bucket, Prefix=place.key).get("Uploads", [])
            own = [each for each in listed if each["Key"] == place.key]
            if not own:
                return "", {}
            upload = max(own, key=lambda each: each["Initiated"])["UploadId"]
            pages = self._s3.get_paginator("list_parts").paginate(Bucket=place.bucket, Key=place.key, UploadId=upload)
            return upload, {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
        except ClientError:  # not allowed to list: begin anew
            return "", {}

    def _begin(self, place: Location, path: Path) -> str:
        made = self._s3.create_multipart_upload(
            Bucket=place.bucket, Key=place.key, ChecksumAlgorithm="SHA256", Metadata={SHA256: sha256_of(path)}
        )
        return made["UploadId"]

    def _send(self, place: Location, upload: str, part: _Part, there: dict[int, Any]) -> dict[str, Any]:
        """Have a part be there, and give what completing the upload says of it."""
        known = there.get(part.number)
        if known is not None and known["Size"] == len(part.data):
            stated = known.get("ChecksumSHA256")
            if stated == part.sha256 if stated else known["ETag"].strip('"') == part.md5:
                return {"PartNumber": part.number, "ETag": known["ETag"], "ChecksumSHA256": part.sha256}
        answer = self._s3.upload_part(
            Bucket=place.bucket,
            Key=place.key,
            UploadId=upload,
            PartNumber=part.number,
            Body=part.data,
            ChecksumSHA256=part.sha256,
        )
        return {"PartNumber": part.number, "ETag": answer["ETag"], "ChecksumSHA256": part.sha256}

    def _abort(self, place: Location, upload: str) -> None:
        from botocore.exceptions import ClientError

        try:
            self._s3.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=upload)
        except ClientError:  # gone already, or not allowed: a rule of the bucket sweeps it
            return

    def _parts(self, path: Path) -> Iterator[_Part]:
        with path.open("rb") as stream:
            for number in range(1, self._count(path) + 1):
                yield _Part(number, stream.read(self._part_bytes))

    def _count(self, path: Path) -> int:
        return max(1, -(-path.stat().st_size // self._part_bytes))

    def _whole(self, path: Path) -> str:
        return _base64(bytes.fromhex(sha256_of(path)))

    def _composite(self, path: Path) -> str:
        """What S3 states for an object in parts: the checksum of their checksums, and how many there are."""
        sums = b"".join(base64.b64decode(part.sha256) for part in self._parts(path))
        return f"{_base64(hashlib.sha256(sums).digest())}-{self._count(path)}"

    def _received(
        self, place: Location, size: int, sink: Any, tag: str = "", progress: Progress | None = None
    ) -> tuple[str, int]:
        """Read an object, going on after a broken connection; SHA-256 and size of what came."""
        digest, done = hashlib.sha256(), 0
        with told(place, self._s3):
            steps = self._chunks(place, size, tag)
            count = -(-size // _CHUNK)
            for chunk in steps if progress is None else progress.track(steps, count, place.key):
                digest.update(chunk)
                done += len(chunk)
                if sink is not None:
                    sink.write(chunk)
        if done != size:
            raise DataError(f"{place}: {done} bytes arrived, the object has {size}. Try again")
        return digest.hexdigest(), done

    def _chunks(self, place: Location, size: int, tag: str) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError, ClientError

        done = 0
        for attempt in range(ATTEMPTS):
            request: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key}
            if done:
                request["Range"] = f"bytes={done}-"
            if tag:
                request["IfMatch"] = tag
            try:
                body = self._s3.get_object(**request)["Body"]
                while done < size and (chunk := body.read(min(_CHUNK, size - done))):
                    done += len(chunk)
                    yield chunk
                return
            except ClientError as error:
                if _code(error) == _LOST:
                    raise DataError(f"{place} was written while it was read. Try again") from None
                raise
            except (BotoCoreError, OSError):
                if attempt == ATTEMPTS - 1:
                    raise


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
