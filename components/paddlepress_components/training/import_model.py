"""The component that brings in a model that was trained elsewhere."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def import_model(*, data: Any, model: Any, artifact: str) -> None:
    """Copy a model artifact into the pipeline, after checking it against its checksums and the data.

    Args:
        data: input; the data set that the model must fit.
        model: output; the model.
        artifact: a folder, or an `s3://` prefix.
    """
    with entry.task():
        from paddlepress.artifact import store
        from paddlepress.data.store import load as load_data
        from paddlepress.errors import DataError
        from paddlepress.storage import fetch

        dataset = load_data(Path(data.path))
        with tempfile.TemporaryDirectory() as scratch:
            loaded = store.load(fetch(artifact, Path(scratch) / "artifact"))
        shapes = [spec.shape for spec in loaded.inputs], [spec.shape for spec in dataset.inputs]
        if shapes[0] != shapes[1]:
            raise DataError(f"the model at {artifact} takes {shapes[0]}, the data {dataset.name!r} have {shapes[1]}")
        if len(loaded.task.classes) != len(dataset.task.classes):
            raise DataError(
                f"the model at {artifact} tells {len(loaded.task.classes)} classes apart, "
                f"the data {dataset.name!r} have {len(dataset.task.classes)}"
            )
        manifest = store.save(loaded, Path(model.path))
        model.metadata.update(digest=manifest.digest, artifact=artifact)


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build

    return build(
        Signature(
            name="import_model",
            summary="Import a trained model artifact from a folder or S3.",
            call="paddlepress_components.training.import_model:import_model",
            inputs={"data": ("Dataset", "The data set that the model must fit.")},
            outputs={"model": ("Model", "The imported model.")},
            settings={"artifact": (str, "", "A folder, or an s3:// prefix, with model.json and its weights.")},
        )
    )
