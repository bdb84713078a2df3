"""`manifest.json`: what a published version says of itself, and where its files lie.

==================================  ================================================================
``repository/NAME/1/model.onnx``    the model in one file, for any ONNX runtime; the folder `repository` is
``repository/NAME/config.pbtxt``    a model repository of Triton's, which KServe takes too
``deployable/``                     the encoded files that `paddlepress.deployment.predictor` runs, for devices
``model-card.md``                   what it is, for people
``bom.cdx.json``                    what it is made of: a bill of materials, CycloneDX 1.6
``manifest.json``                   what it is, for programs
``SHA256SUMS``                      the checksum of each of these
``signature.json``                  the signature over `SHA256SUMS`; written last: without it nothing is published
==================================  ================================================================

Two versions that hold the same model have the same bytes in `repository` and `deployable`. Nothing in these files says
when or by whom they were published: the pointer does, see `pointer`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from paddlepress.core.errors import UsageError, VerificationFailed
from paddlepress.core.manifests import CheckedManifest, parse, record, sealed
from paddlepress.publishing import checksums

FORMAT_VERSION = 1
FILE = "manifest.json"
SIGNATURE_FILE = "signature.json"
REPOSITORY = "repository"
DEPLOYABLE = "deployable"
MODEL_CARD = "model-card.md"
BILL_OF_MATERIALS = "bom.cdx.json"
LARGEST = 8 * 2**20  # bytes


class _Invalid(UsageError):
    """A manifest that can't be read, until it is known where from."""


class PublishedManifest(CheckedManifest):
    """What a published version is.

    Attributes:
        name, version, variant: in the registry.
        model_digest: of the model, see `paddlepress.artifact.manifest`.
        task: what the model is for.
        created: when the version was registered.
        digests: SHA-256 of what it was made and measured with: recipe, data, test data, base model, by name.
        metrics: what was measured of it, by name.
        gates: what each gate said when it was promoted; empty of a version that was not.
        reason: why it was promoted.
        lineage: every technique as it was applied, oldest first.
        made_by: the paddlepress that wrote these files.
    """

    kind: ClassVar[str] = "published version"
    error: ClassVar[type[UsageError]] = _Invalid
    newest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = 1

    format_version: int = FORMAT_VERSION
    name: str
    version: int = Field(ge=1)
    variant: str
    model_digest: str
    task: JsonValue
    created: datetime
    digests: dict[str, str] = {}
    metrics: dict[str, float] = {}
    gates: tuple[str, ...] = ()
    reason: str = ""
    lineage: list[JsonValue] = []
    made_by: str


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of a version whose other files lie in a folder already."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): record(path).model_dump() for path in paths}
    content = sealed({"format_version": FORMAT_VERSION, "files": files, **facts})
    (folder / FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(data: bytes, at: str, name: str, version: int, sums: Mapping[str, str]) -> PublishedManifest:
    """A manifest from its text, which has to be that of a certain version and to agree with its checksums.

    Args:
        data: the text.
        at: where it stands, for messages.
        name, version: whose it has to be.
        sums: what `SHA256SUMS` says, by path.

    Raises:
        VerificationFailed: it is damaged, too new, or another version's.
    """
    try:
        found = parse(data, Path(at), PublishedManifest)
    except _Invalid as error:
        raise VerificationFailed(str(error).replace(str(Path(at)), at)) from None
    if (found.name, found.version) != (name, version):
        raise VerificationFailed(
            f"{at} is that of version {found.version} of {found.name!r}, which was put in the place of "
            f"version {version} of {name!r}"
        )
    stated = {path: each.sha256 for path, each in found.files.items()}
    if stated != {path: digest for path, digest in sums.items() if path != FILE}:
        raise VerificationFailed(f"{at} names other files than {checksums.FILE} beside it")
    return found
