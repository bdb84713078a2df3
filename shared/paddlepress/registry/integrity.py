"""What is missing or damaged in the registry: runs, files and tags that were changed by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import ArtifactError, RegistryError
from paddlepress.registry import catalogue, history
from paddlepress.registry import tags as keys
from paddlepress.registry.connection import in_use
from paddlepress.registry.locking import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVALUATION = "evaluation.json"
DEPLOYABLE = "artifacts/deployable"


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a registered model.

    Attributes:
        text: what, in words.
        version: of which version; None where it is about the model as a whole.
        repaired: whether it was put right.
    """

    text: str
    version: int | None = None
    repaired: bool = False


def audit(client: MlflowClient, name: str, *, repair: bool = False, only: Collection[str] = ()) -> list[Fault]:
    """Look through everything that is registered under a name.

    Args:
        client: of the registry.
        name: the registered model.
        repair: put right what needs no files: deleted runs come back, notes and decisions that can't be read go.
            Files, evaluations and tags come back when the recipe is run, which registers again what is damaged.
        only: digests of recipes: look at the versions made from these alone; none looks at all, and at the model too.

    Raises:
        UnknownName: there is no registered model of that name.
    """
    with exclusive(client):
        found = [] if only else _of_model(client, name, repair)
        for entry in catalogue.registered(client, name):
            if not only or entry.tags.get(keys.RECIPE_DIGEST) in only:
                found += _of_version(client, name, entry, repair)
        return found


def is_sound(client: Any, entry: Any, files: Mapping[str, int]) -> bool:
    """Whether a version's run is there, deleted or not, and its files are.

    Args:
        client: of the registry.
        entry: the version, as MLflow gives it.
        files: bytes of each file of its deployable.
    """
    return _run(client, entry) is not None and not _lost_files(client, entry, files)


def _of_model(client: Any, name: str, repair: bool) -> list[Fault]:
    tags = catalogue.model(client, name).tags
    found = [Fault(text, repaired=repair) for text in history.damage(tags)]
    if found and repair:
        history.clear_damage(client, name)
    return found


def _of_version(client: Any, name: str, entry: Any, repair: bool) -> list[Fault]:
    version = int(entry.version)
    found = []
    try:
        about = catalogue.row_of(entry)
    except RegistryError as error:
        about = None
        found.append(Fault(str(error), version))
    label = f"version {version} of {name}" + (f" ({about.variant})" if about is not None else "")
    run = _run(client, entry)
    if run is None:
        return [*found, Fault(f"{label} has lost its run", version)]
    if run.info.lifecycle_stage == "deleted":
        if repair:
            client.restore_run(entry.run_id)
        found.append(Fault(f"the run of {label} was deleted", version, repair))
    try:
        files = _evaluation_files(client, entry.run_id)
    except ArtifactError as error:
        return [*found, Fault(f"{label} has lost its {EVALUATION}: {error}", version)]
    lost = _lost_files(client, entry, files)
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        found.append(Fault(f"{label} has lost files: {', '.join(lost[:3])}{more}", version))
    return found


def _run(client: Any, entry: Any) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(entry.run_id) if entry.run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _evaluation_files(client: Any, run_id: str) -> Mapping[str, int]:
    """Bytes of each deployed file, as they were when the version was measured."""
    from mlflow.exceptions import MlflowException

    from paddlepress.evaluation.result import Evaluation

    with tempfile.TemporaryDirectory() as folder, in_use(client):
        if EVALUATION not in {file.path for file in client.list_artifacts(run_id)}:
            raise ArtifactError("the file is gone")
        try:
            return Evaluation.load(Path(client.download_artifacts(run_id, EVALUATION, folder))).files
        except (MlflowException, OSError) as error:
            raise ArtifactError(" ".join(str(error).split())) from None


def _lost_files(client: Any, entry: Any, files: Mapping[str, int]) -> list[str]:
    """The files of a version's model that are not there, or not of the size that they had."""
    from mlflow.exceptions import MlflowException

    model_id = str(entry.source or "").removeprefix("models:/")
    try:
        top = {file.path for file in client.list_logged_model_artifacts(model_id)}
        deployed = {
            Path(file.path).name: file.file_size for file in client.list_logged_model_artifacts(model_id, DEPLOYABLE)
        }
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        top, deployed = set(), {}
    lost = [] if "MLmodel" in top else ["MLmodel"]
    return lost + [name for name, size in files.items() if deployed.get(name) != size]
