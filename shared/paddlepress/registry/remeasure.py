"""Measuring a champion again, beside a base model or on test data that are newer than its own figures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import ArtifactError, PaddlepressError
from paddlepress.registry import tags as keys
from paddlepress.registry.catalogue import Remeasured, Row, versions
from paddlepress.registry.failures import RegistryAway
from paddlepress.registry.fetching import fetch_version
from paddlepress.registry.history import CHAMPION
from paddlepress.registry.locking import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.evaluation.result import Evaluation

Measure = Callable[[Path, Path], "Evaluation"]


def remeasure(
    client: MlflowClient, name: str, *, base_digest: str, test_data_digest: str, measure: Measure
) -> Remeasured | None:
    """Measure the champion beside today's base model on today's test data, and keep the figures with it.

    Does nothing where its figures are of that very base and data, or where there is no champion. What can't be
    measured, such as a version whose files are gone, is kept as a failure with its reason.

    Args:
        client: of the registry.
        name: the registered model.
        base_digest: of the base model that the champion is to be compared with.
        test_data_digest: of the data that it is to be measured on.
        measure: measures a version's model artifact and deployable, in two directories.

    Returns:
        What was measured now; None if nothing had to be.
    """
    champion = next((row for row in versions(client, name) if CHAMPION in row.aliases), None)
    if champion is None or _is_of(champion, base_digest, test_data_digest):
        return None
    facts: dict[str, Any] = {"base_digest": base_digest, "test_data_digest": test_data_digest}
    try:
        with tempfile.TemporaryDirectory() as folder:
            evaluation = measure(*_files(client, name, champion, folder))
        again = Remeasured(metrics=evaluation.metrics, missing=evaluation.missing, **facts)
    except RegistryAway:
        raise
    except PaddlepressError as error:
        again = Remeasured(failure=" ".join(str(error).split()), **facts)
    with exclusive(client):
        client.set_model_version_tag(name, str(champion.version), keys.REMEASURED, again.model_dump_json())
    return again


def _is_of(row: Row, base_digest: str, test_data_digest: str) -> bool:
    wanted = (base_digest, test_data_digest)
    again = row.remeasured
    if again is not None and not again.failure and (again.base_digest, again.test_data_digest) == wanted:
        return True
    return (row.base_digest, row.test_data_digest) == wanted


def _files(client: Any, name: str, row: Row, folder: str) -> tuple[Path, Path]:
    """The model artifact and the deployable of a version, copied out of the registry."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    place = fetch_version(client, name, row.version, Path(folder))
    try:
        stored = Model.load(str(place)).flavors["python_function"]["artifacts"]
        return place / stored["model"]["path"], place / stored["deployable"]["path"]
    except (MlflowException, OSError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ArtifactError(f"the files of version {row.version} of {name!r} are damaged: {why}") from None
