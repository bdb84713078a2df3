"""The component that brings in a model that was trained elsewhere."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress_components import entry

if TYPE_CHECKING:
    from paddlepress.data import Dataset
    from paddlepress.model import Model

IMPORT = "import"


def import_model(*, data: Any, model: Any, artifact: str) -> None:
    """Copy a model artifact into the pipeline, after checking it against its checksums and the data.

    A network that can't be deployed is refused here, and not by each variant in the end.

    Args:
        data: input; the data set that the model must fit.
        model: output; the model.
        artifact: a folder, or an `s3://` prefix.
    """
    with entry.task():
        from paddlepress.artifact import store
        from paddlepress.data.store import load as load_data
        from paddlepress.deployment.export import check_exportable
        from paddlepress.model import LineageEntry
        from paddlepress.storage import fetch
        from paddlepress.techniques import distribution_version

        dataset = load_data(Path(data.path))
        with tempfile.TemporaryDirectory() as scratch:
            loaded = store.load(fetch(artifact, Path(scratch) / "artifact"))
        check_fit(loaded, dataset, artifact)
        check_exportable(loaded)
        step = LineageEntry(
            technique=IMPORT,
            version=distribution_version(IMPORT),
            parameters={"artifact": artifact, "data": dataset.name, "data_digest": dataset.digest},
            seed=0,
        )
        manifest = store.save(loaded.with_lineage(step), Path(model.path))
        model.metadata.update(digest=manifest.digest, artifact=artifact, architecture=loaded.architecture.name)


def check_fit(model: Model, dataset: Dataset, artifact: str) -> None:
    """Refuse a model that was made for other inputs or other classes than a data set's.

    Args:
        model: the imported model.
        dataset: what it is to be compressed and judged with.
        artifact: where the model came from, for the message.

    Raises:
        DataError: shapes, dtypes, or the classes' number, names or order differ.
    """
    from paddlepress.errors import DataError

    takes, given = ([(list(spec.shape), spec.dtype) for spec in found.inputs] for found in (model, dataset))
    if takes != given:
        said = [" and ".join(f"{dtype} {shape}" for shape, dtype in found) for found in (takes, given)]
        raise DataError(f"the model at {artifact} takes {said[0]}, the data {dataset.name!r} have {said[1]}")
    tells, classes = model.task.classes, dataset.task.classes
    if len(tells) != len(classes):
        raise DataError(
            f"the model at {artifact} tells {len(tells)} classes apart, the data {dataset.name!r} have {len(classes)}"
        )
    for number, (own, other) in enumerate(zip(tells, classes, strict=True)):
        if own != other:
            raise DataError(
                f"the model at {artifact} was trained on other classes: its class {number} is {own!r}, "
                f"the data {dataset.name!r} have {other!r} there"
            )


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
