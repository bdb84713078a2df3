"""The component that brings in a model that was trained elsewhere."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress_components import entry

if TYPE_CHECKING:
    from paddlepress.data import StoredDataset
    from paddlepress.network.model import Model
    from paddlepress.spec.preprocessing import AnyPreprocessing
    from paddlepress.spec.signature import TensorSpec

IMPORT = "import"
LOOK_AT = "its preprocessing (base.preprocessing in a recipe), and whether its classes stand in the order of its logits"


def import_model(*, data: Any, model: Any, artifact: str, preprocessing: dict[str, Any]) -> None:
    """Copy a model artifact into the pipeline, after checking it against its checksums and the data.

    A network that can't be deployed is refused here, and not by each variant in the end.

    Args:
        data: input; the data set that the model must fit.
        model: output; the model, with a warning if it is hardly better than guessing on the validation data.
        artifact: a folder, or an `s3://` prefix.
        preprocessing: fields of `paddlepress.spec.preprocessing.Preprocessing`, by their names for several inputs, in
            place of what the artifact states; empty takes that.
    """
    with entry.task():
        from paddlepress.artifact import store
        from paddlepress.core.plugins import distribution_version
        from paddlepress.core.storage import fetch
        from paddlepress.data.store import load as load_data
        from paddlepress.deployment.export import check_exportable
        from paddlepress.evaluation.chance import near_chance
        from paddlepress.network.interface import check_supported
        from paddlepress.spec.lineage import LineageEntry

        given = _given(preprocessing)
        dataset = load_data(Path(data.path))
        with tempfile.TemporaryDirectory() as scratch:
            loaded = store.load(fetch(artifact, Path(scratch) / "artifact"))
        check_fit(loaded, dataset, artifact)
        check_supported(loaded)
        imported = replace(loaded, preprocessing=preprocessing_of(loaded, dataset, given, artifact))
        check_exportable(imported)
        step = LineageEntry(
            technique=IMPORT,
            version=distribution_version(IMPORT),
            parameters={"artifact": artifact, "data": dataset.name, "data_digest": dataset.digest},
            seed=0,
        )
        manifest = store.save(imported.with_lineage(step), Path(model.path))
        model.metadata.update(digest=manifest.digest, artifact=artifact, architecture=loaded.architecture.name)
        entry.warn(model, near_chance(imported, dataset.for_model(imported).split("validation"), LOOK_AT))


def check_fit(model: Model, dataset: StoredDataset, artifact: str) -> None:
    """Refuse a model that was made for other inputs or other classes than a data set's.

    Args:
        model: the imported model.
        dataset: what it is to be compressed and judged with.
        artifact: where the model came from, for the message.

    Raises:
        DataError: shapes, dtypes, or the classes' number, names or order differ.
    """
    from paddlepress.core.errors import DataError

    own, inputs = model.preprocessing, dataset.inputs
    if own is not None and not own.unlike(dataset.statistics, ""):
        inputs = tuple(own.of(spec.name).taken(spec) for spec in inputs)  # of text, what its own table makes
    takes, given = _forms(model.inputs), _forms(inputs)
    if takes != given:
        said = [" and ".join(found) for found in (takes, given)]
        raise DataError(f"the model at {artifact} takes {said[0]}, the data {dataset.name!r} have {said[1]}")
    if mismatch := dataset.task.mismatch(model.task):
        raise DataError(f"the model at {artifact} does not fit the data {dataset.name!r}: it {mismatch}")


def _forms(inputs: tuple[TensorSpec, ...]) -> list[str]:
    """What inputs are, in words; of a single one its name means nothing."""
    names = [f"{spec.name}: " if len(inputs) > 1 else "" for spec in inputs]
    return [f"{name}{spec.dtype} {list(spec.shape)}" for name, spec in zip(names, inputs, strict=True)]


def _given(fields: dict[str, Any]) -> AnyPreprocessing | None:
    """What the user states; None where that is nothing."""
    from paddlepress.spec.preprocessing import form_of

    return entry.validated(form_of(fields), fields, "preprocessing") if fields else None


def preprocessing_of(
    model: Model, dataset: StoredDataset, given: AnyPreprocessing | None, artifact: str
) -> AnyPreprocessing:
    """What an imported model makes of a data set's inputs.

    That which the user gives counts before that which the artifact states. An artifact that states none, such as one
    of before they did, takes the data's statistics only if it was trained on these very data; nothing is guessed.

    Args:
        model: the imported model.
        dataset: what it is to be compressed and judged with.
        given: by the user.
        artifact: where the model came from, for the message.

    Raises:
        DataError: it does not fit the data, or nobody says what it is.
    """
    from paddlepress.core.errors import DataError
    from paddlepress.spec.preprocessing import Preprocessing

    own = dataset.statistics
    chosen = given or model.preprocessing or (own if _trained_on(model, dataset) else None)
    if chosen is None:
        names = [spec.name for spec in dataset.inputs]
        first = own.of(names[0])
        if not isinstance(first, Preprocessing):
            raise DataError(f"the model at {artifact} does not say how its training cut text into tokens")
        scale, mean, std = f"scale: {first.scale:g}", _listed(first.mean), _listed(first.std)
        each = f" for each of {', '.join(names)}" if len(names) > 1 else ""
        raise DataError(
            f"the model at {artifact} does not say how its training normalized its inputs. Say it{each} in the recipe, "
            f"as base.preprocessing: {{{scale}}} if they were only divided by {first.scale:g}; "
            f"{{{scale}, mean: {mean}, std: {std}}} would be the mean and deviation of the data {dataset.name!r}"
        )
    where = "base.preprocessing" if given else f"the preprocessing of the model at {artifact}"
    if unfit := dataset.unfit(chosen):
        raise DataError(f"{where} {unfit}")
    return chosen.of_data(own)


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:.4g}' for value in values[:4])}{', ...' if len(values) > 4 else ''}]"


def _trained_on(model: Model, dataset: StoredDataset) -> bool:
    """Whether a model was trained by paddlepress on a data set."""
    from paddlepress.training.base_training import TRAIN

    first = model.lineage[0] if model.lineage else None
    return first is not None and first.technique == TRAIN and first.parameters.get("data_digest") == dataset.digest


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress.core.fields import Place
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="import_model",
            summary="Import a trained model artifact from a folder or S3.",
            call="paddlepress_components.training.import_model:import_model",
            inputs={"data": ("Dataset", "The data set that the model must fit.")},
            outputs={"model": ("Model", "The imported model.")},
            settings={
                "artifact": (str, "", "A folder, or an s3:// prefix, with model.json and its weights."),
                "preprocessing": (
                    dict,
                    {},
                    "What becomes of inputs before the network takes them: dtype, scale, mean, std; empty takes what "
                    "the artifact states.",
                ),
            },
            traits=Traits(places={"artifact": Place()}),
        )
    )
