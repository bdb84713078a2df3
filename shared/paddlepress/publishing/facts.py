"""What the registry knows of a version, gathered for those who will use it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.errors import ArtifactError
from paddlepress.deployment import bundle
from paddlepress.evaluation.result import Evaluation
from paddlepress.registry import catalogue, history
from paddlepress.registry.connection import in_use
from paddlepress.registry.integrity import EVALUATION

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.artifact.manifest import Manifest
    from paddlepress.registry.history import Entry


@dataclass(frozen=True)
class VersionFacts:
    """A registered version.

    Attributes:
        name: of the registered model.
        row: the version.
        model: the manifest of the model that its deployable was made of.
        base: the base model that its figures compare with; None if it is not registered any more, or the version's own.
        evaluation: all that was measured of it; None if the file is gone.
        promotion: the decision that last made it champion; None if none did.
    """

    name: str
    row: catalogue.Row
    model: Manifest
    base: catalogue.Row | None = None
    evaluation: Evaluation | None = None
    promotion: Entry | None = None

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of what it was made and measured with, by name; what is not known is left out."""
        row = self.row
        found = {
            "recipe": row.recipe_digest,
            "data": row.dataset_digest,
            "test_data": row.test_data_digest,
            "base_model": row.base_digest,
            "evaluation": row.evaluation_digest,
        }
        return {key: value for key, value in found.items() if value}

    @property
    def primary(self) -> str:
        """The metric that says how good the model is."""
        return self.evaluation.primary if self.evaluation is not None else "accuracy"


def gather(client: MlflowClient, name: str, row: catalogue.Row, deployable: Path) -> VersionFacts:
    """What is known of a version.

    Args:
        client: of the registry.
        name: the registered model.
        row: the version.
        deployable: its files.

    Raises:
        ArtifactError: the deployable is damaged.
    """
    bases = [
        other
        for other in catalogue.versions(client, name)
        if other.variant == catalogue.BASE and row.base_digest in ("", other.model_digest)
    ]
    base = max(bases, key=catalogue.recency, default=None)
    promotions = [
        entry
        for entry in history.history(client, name)
        if entry.after == row.version and entry.before != row.version and entry.action in ("promoted", "moved")
    ]
    return VersionFacts(
        name=name,
        row=row,
        model=bundle.read_manifest(deployable),
        base=base if base is not None and base.version != row.version else None,
        evaluation=_evaluation(client, row),
        promotion=promotions[-1] if promotions else None,
    )


def _evaluation(client: MlflowClient, row: catalogue.Row) -> Evaluation | None:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder, in_use(client), suppress(MlflowException, OSError, ArtifactError):
        return Evaluation.load(Path(client.download_artifacts(row.run_id, EVALUATION, folder)))
    return None
