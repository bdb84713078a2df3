"""The models that a student learns from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.errors import TrainingFailed

if TYPE_CHECKING:
    from paddlepress.model import Model

BASE = "base"


def load_teachers(locations: Sequence[str], base: Model) -> list[Model]:
    """The models at some locations.

    Args:
        locations: folders or `s3://` prefixes of model artifacts; `base` is the base model, and no location
            is that alone.
        base: the base model.

    Raises:
        ArtifactError: there is no artifact, or a damaged one.
        DataError: S3 can't be reached or has nothing there.
    """
    return [base if location == BASE else _load(location) for location in locations or [BASE]]


def _load(location: str) -> Model:
    from paddlepress.artifact import store
    from paddlepress.storage import fetch, is_s3

    # All objects of a prefix; without the slash it would be one object.
    source = f"{location.rstrip('/')}/" if is_s3(location) else location
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        return store.load(fetch(source, Path(scratch)))


def check_teacher(teacher: Model, student: Model, location: str) -> None:
    """Refuse a teacher whose answers mean nothing to a student.

    Raises:
        TrainingFailed: it takes other inputs, or tells other classes apart.
    """
    who = "the teacher" if location == BASE else f"the teacher at {location}"
    told, wanted = teacher.task.classes, student.task.classes
    if len(told) != len(wanted):
        raise TrainingFailed(f"{who} tells {len(told)} classes apart, the student {len(wanted)}")
    for number, (own, other) in enumerate(zip(told, wanted, strict=True)):
        if own != other:
            raise TrainingFailed(f"{who} learned other classes: its class {number} is {own!r}, the student's {other!r}")
    takes, gets = ([list(spec.shape) for spec in model.inputs] for model in (teacher, student))
    if takes != gets:
        raise TrainingFailed(f"{who} takes inputs of shape {takes}, the student {gets}")
