"""The result of an evaluation, and its file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from paddlepress.core.errors import ArtifactError
from paddlepress.core.fields import explain
from paddlepress.core.files import write_text
from paddlepress.evaluation.metrics import known


def _known(names: dict[str, float]) -> dict[str, float]:
    for name, value in names.items():
        if name not in known():
            raise ValueError(f"unknown metric {name!r}")
        if not math.isfinite(value):
            raise ValueError(f"metric {name!r} is {value}")
    return names


class ClassResult(BaseModel):
    """One class's part of the test data.

    Attributes:
        name: of the class.
        count: how many test examples it has.
        accuracy: share of them classified correctly, in percent.
        base_accuracy: the same for the base model.
        change: accuracy - base_accuracy, in points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    count: int
    accuracy: float
    base_accuracy: float
    change: float


class Evaluation(BaseModel):
    """Everything that was measured of one model.

    Attributes:
        primary: the name of the metric that says how good the model is.
        metrics: by the names of `evaluation.metrics.known`; one that was not measured is not there.
        test_examples: how many were scored; 0 in evaluations of before, which tell it by their classes.
        per_class: the task's groups, such as classes; those without test examples are left out.
        group: what one of them is called, and several.
        missing: why a metric was not measured.
        environment: processor, cores, and versions of what computed.
        model_digest, base_digest, data_digest: of what was measured, against what, and on what.
        files: bytes of each deployed file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary: str = "accuracy"
    metrics: Annotated[dict[str, float], AfterValidator(_known)]
    test_examples: int = 0
    per_class: list[ClassResult] = []
    group: tuple[str, str] = ("class", "classes")
    missing: dict[str, str] = {}
    environment: dict[str, str] = {}
    model_digest: str
    base_digest: str
    data_digest: str = ""
    files: dict[str, int]

    def save(self, path: Path) -> None:
        """Write the evaluation as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2))

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read an evaluation.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ArtifactError(f"no evaluation at {path}: {error.strerror}") from None
        except ValidationError as error:
            raise ArtifactError(f"{path} is damaged: {explain(error, cls)}") from None
