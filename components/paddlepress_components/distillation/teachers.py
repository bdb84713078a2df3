"""The models that a student learns from.

A teacher may have been trained on inputs that were normalized otherwise: it goes on seeing those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import TrainingFailed

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.spec.preprocessing import AnyPreprocessing, InputPreprocessing

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
    from paddlepress.core.storage import fetch, is_s3

    # All objects of a prefix; without the slash it would be one object.
    source = f"{location.rstrip('/')}/" if is_s3(location) else location
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        return store.load(fetch(source, Path(scratch)))


def check_teacher(teacher: Model, student: Model, location: str) -> None:
    """Refuse a teacher whose answers mean nothing to a student.

    Raises:
        TrainingFailed: it takes other inputs, or tells other classes apart.
    """
    who = _called(location)
    if mismatch := student.task.mismatch(teacher.task):
        raise TrainingFailed(f"{who} does not fit the student: it {mismatch}")
    takes, gets = ([list(spec.shape) for spec in model.inputs] for model in (teacher, student))
    if takes != gets:
        raise TrainingFailed(f"{who} takes inputs of shape {takes}, the student {gets}")


def adapt(teacher: Model, student: Model, location: str) -> None:
    """Have a teacher's network take inputs as the student does, and turn them into what it was trained on.

    Args:
        teacher: changed in place, unless its inputs are preprocessed as the student's.
        student: whose preprocessing the inputs have gone through.
        location: where the teacher came from, for messages.

    Raises:
        TrainingFailed: one of the two does not state its preprocessing, or they are of inputs of different dtypes.
    """
    own, given = teacher.preprocessing, student.preprocessing
    if own is not None and given is not None:
        pairs = zip(_each(own, teacher), _each(given, student), strict=True)
        conversions = [_conversion(one, other, location) for one, other in pairs]
        if any(conversion is not None for conversion in conversions):
            _convert_inputs(teacher.network, conversions)
    elif own != given:
        silent, other = (_called(location), "the student") if own is None else ("the student", _called(location))
        raise TrainingFailed(
            f"{silent} does not state its preprocessing, and {other} does: whether they take the same inputs is "
            "unknown. State it where the model is built or imported"
        )


def _each(preprocessing: AnyPreprocessing, model: Model) -> list[InputPreprocessing]:
    """That of each of a model's inputs, in their order."""
    return [preprocessing.of(spec.name) for spec in model.inputs]


def _conversion(own: InputPreprocessing, given: InputPreprocessing, location: str) -> tuple[Any, Any] | None:
    """Factor and offset that make a teacher's input of a student's; None where they are preprocessed alike."""
    from paddlepress.spec.preprocessing import Preprocessing

    if not isinstance(own, Preprocessing) or not isinstance(given, Preprocessing):
        if own != given:
            raise TrainingFailed(
                f"{_called(location)} takes {own.text()}, the student {given.text()}: not the same table"
            )
        return None
    if None not in (own.dtype, given.dtype) and own.dtype != given.dtype:
        raise TrainingFailed(f"{_called(location)} takes {own.dtype} inputs, the student {given.dtype}")
    alike = (own.scale, own.mean, own.std) == (given.scale, given.mean, given.std)
    return None if alike else own.after(given)


def _convert_inputs(network: Any, conversions: Sequence[tuple[Any, Any] | None]) -> None:
    import paddle

    from paddlepress.forward.layer_hooks import before

    def converted(given: Any, conversion: tuple[Any, Any] | None) -> Any:
        if conversion is None:
            return given
        factor, offset = (paddle.to_tensor(value).reshape([-1] + [1] * (given.ndim - 2)) for value in conversion)
        return given * factor + offset

    def convert(_: Any, inputs: Any) -> Any:
        return tuple(converted(*each) for each in zip(inputs, conversions, strict=True))

    before(network, convert)


def _called(location: str) -> str:
    return "the teacher" if location == BASE else f"the teacher at {location}"
