"""What a model says of test data, kept beside its deployable: computed once, and used by every comparison with it.

A folder with the outputs as safetensors and a manifest, which says what they were made from: outputs of another model,
another deployable or other data are refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np

from paddlepress.artifact import store
from paddlepress.core.errors import ArtifactError, UsageError
from paddlepress.core.files import replacing
from paddlepress.core.manifests import CheckedManifest, Sha256, read_checked, record, sealed
from paddlepress.data import StoredDataset
from paddlepress.deployment import bundle
from paddlepress.evaluation.measurement import Subject
from paddlepress.spec.tensors import Array

FORMAT_VERSION = 1
MANIFEST = "outputs.json"
ARRAYS = "outputs.safetensors"


class OutputsManifest(CheckedManifest):
    """What outputs were made from.

    Attributes:
        model_digest: of the model.
        deployable_digest: of what is deployed of it.
        data_digest: of the test data.
    """

    kind: ClassVar[str] = "set of outputs"
    error: ClassVar[type[UsageError]] = ArtifactError
    newest: ClassVar[int] = FORMAT_VERSION
    sealed_since: ClassVar[int] = 1

    format_version: int = FORMAT_VERSION
    model_digest: Sha256
    deployable_digest: Sha256
    data_digest: str


def save(subject: Subject, test: StoredDataset, directory: Path) -> None:
    """Keep what a model says; an existing folder is replaced once the new one is whole.

    Args:
        subject: the model.
        test: the data that its outputs are of.
        directory: where to.
    """
    from safetensors.numpy import save as serialized

    arrays = {"deployed": subject.outputs, "network": subject.network_outputs}
    with replacing(directory) as temporary:
        temporary.mkdir()
        (temporary / ARRAYS).write_bytes(
            serialized({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        )
        manifest = OutputsManifest(
            model_digest=subject.model.digest(),
            deployable_digest=bundle.read_digest(subject.deployable),
            data_digest=test.digest,
            files={ARRAYS: record(temporary / ARRAYS)},
        )
        content = sealed(manifest.model_dump(mode="json", exclude={"seal"}))
        (temporary / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def load(directory: Path, artifact: Path, deployable: Path, test: StoredDataset) -> Subject:
    """A model with its deployable and what was kept of what it says.

    Args:
        directory: where the outputs are.
        artifact: of the model.
        deployable: its own.
        test: what it will be measured with.

    Raises:
        ArtifactError: one of them is missing or damaged, or the outputs are of another model or other data.
    """
    manifest = read_checked(directory / MANIFEST, OutputsManifest)
    model = store.load(artifact)
    made_from = {
        f"the model at {artifact}": (manifest.model_digest, model.digest()),
        f"the deployable at {deployable}": (manifest.deployable_digest, bundle.read_digest(deployable)),
        f"the test data {test.name!r}": (manifest.data_digest, test.digest),
    }
    for what, (stated, own) in made_from.items():
        if stated != own:
            raise ArtifactError(
                f"the outputs at {directory} are not of {what}: made from {stated[:12]}, not {own[:12]}"
            )
    path = directory / ARRAYS
    arrays = store.parse_arrays(path.read_bytes(), path)
    if set(arrays) != {"deployed", "network"}:
        raise ArtifactError(f"{path} is damaged: it holds {', '.join(sorted(arrays))}, not 'deployed' and 'network'")
    count = len(test.split("test"))
    return Subject(
        model, artifact, deployable, *(_checked(arrays[name], count, path) for name in ("deployed", "network"))
    )


def _checked(array: Array, count: int, path: Path) -> Array:
    if array.dtype != np.float32 or array.ndim < 1 or len(array) != count:
        raise ArtifactError(f"{path} is damaged: it holds {array.dtype} {list(array.shape)}, for {count} examples")
    return array
