"""A data set as its source holds it, before it is divided, and the checks it must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError


@dataclass(frozen=True)
class Examples:
    """Examples with their labels.

    Attributes:
        inputs: uint8 (images, 0..255) or float32; [n, channels, height, width] or [n, features].
        labels: what is told of each example: int64 [n] where that is a class, else as its task reads it.
        origin: the file that the inputs came from, which errors name.
        labels_origin: the file that the labels came from.
    """

    inputs: NDArray[Any]
    labels: NDArray[Any]
    origin: str
    labels_origin: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at these positions."""
        return Examples(self.inputs[indices], self.labels[indices], self.origin, self.labels_origin)


@dataclass(frozen=True)
class Raw:
    """A data set as its source holds it.

    Attributes:
        name: such as `mnist`.
        train: what may be learned from.
        validation: the source's own validation split, if it has one.
        test: the source's own test split, if it has one.
        classes: the source's own class names; empty if it has none.
    """

    name: str
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    classes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Examples]:
        """The splits that the source has, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def examples(inputs: NDArray[Any], labels: NDArray[Any], origin: str, labels_origin: str = "") -> Examples:
    """Bring images or features and labels into their common form.

    Args:
        inputs: [n, features], [n, height, width], [n, channels, height, width], or [n, height, width,
            channels] with 1 or 3 channels (taken so only if the second dimension is not 1 or 3); floats,
            or whole numbers in 0..255.
        labels: whole numbers, [n] or [n, 1].
        origin: names the inputs in errors.
        labels_origin: names the labels in errors; the same as `origin` if empty.

    Raises:
        DataError: a wrong shape or type, a value out of range or not finite, or different counts.
    """
    labels_origin = labels_origin or origin
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{labels_origin}: the labels are {labels.dtype} of shape {list(labels.shape)}. "
            "Valid: whole numbers of shape [n]"
        )
    return with_targets(inputs, labels.astype(np.int64), origin, labels_origin)


def with_targets(inputs: NDArray[Any], targets: NDArray[Any], origin: str, targets_origin: str) -> Examples:
    """Bring images or features into their common form, beside targets that have been read by their task.

    Args:
        inputs: as for `examples`.
        targets: [n, ...].
        origin, targets_origin: name them in errors.

    Raises:
        DataError: inputs of a wrong shape or type, a value out of range or not finite, or different counts.
    """
    inputs = _as_stored(channels_first(inputs, origin), origin)
    if len(inputs) != len(targets):
        raise DataError(
            f"{origin} has {len(inputs)} inputs, {targets_origin} has {len(targets)} labels: they must agree"
        )
    if not len(targets):
        raise DataError(f"{origin} holds no examples. Valid: at least one")
    return Examples(np.ascontiguousarray(inputs), targets, origin, targets_origin)


def channels_first(inputs: NDArray[Any], origin: str) -> NDArray[Any]:
    """Inputs as [n, channels, height, width] or [n, features]; see `examples`."""
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.ndim == 4 and inputs.shape[3] in (1, 3) and inputs.shape[1] not in (1, 3):
        inputs = inputs.transpose(0, 3, 1, 2)
    elif inputs.ndim not in (2, 4):
        raise DataError(
            f"{origin}: the inputs have shape {list(inputs.shape)}. Valid: [n, features], [n, height, width], "
            "[n, channels, height, width] or [n, height, width, channels]"
        )
    if 0 in inputs.shape[1:]:
        raise DataError(f"{origin}: the inputs have shape {list(inputs.shape)}. Valid: no dimension of 0")
    return inputs


def _as_stored(inputs: NDArray[Any], origin: str) -> NDArray[Any]:
    """uint8 for images, else float32."""
    kind = inputs.dtype.kind
    if kind == "f":
        with np.errstate(over="ignore"):  # what does not fit float32 turns infinite and is refused below
            inputs = inputs.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(inputs).reshape(len(inputs), -1).all(axis=1))
        if len(bad):
            values = inputs[bad[0]]
            value = values[~np.isfinite(values)][0]
            raise DataError(f"{origin}: input {bad[0]} holds {value} ({len(bad)} such inputs). Valid: finite numbers")
        return inputs
    if kind not in "iu":
        raise DataError(f"{origin}: the inputs are {inputs.dtype}. Valid: uint8 images, or floats")
    if inputs.dtype != np.uint8 and inputs.size and (inputs.min() < 0 or inputs.max() > 255):
        value = inputs.min() if inputs.min() < 0 else inputs.max()
        raise DataError(f"{origin}: the inputs are {inputs.dtype} and hold {value}. Valid: 0..255, or floats")
    return inputs.astype(np.uint8)


def class_names(raw: Raw, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of a data set, after checking that every label is among them and all shapes agree.

    Args:
        raw: the data set.
        wanted: names given by the user; empty takes the source's own, or else the labels that occur in
            the training examples as their own names.

    Raises:
        DataError: a label outside of the classes, a class that the training examples lack, or splits
            whose inputs differ in shape or type.
    """
    if wanted and raw.classes and len(wanted) != len(raw.classes):
        raise DataError(f"'classes' names {len(wanted)} classes, but {raw.name} has {len(raw.classes)}")
    names = wanted or raw.classes
    if not names:
        highest = int(raw.train.labels.max())
        _check_range(raw.train, highest + 1, "counted from 0")
        present = np.unique(raw.train.labels)
        if len(present) <= highest:
            gap = next(label for label in range(highest + 1) if label >= len(present) or present[label] != label)
            raise DataError(
                f"{raw.train.labels_origin}: label {highest} occurs, but no training example has label {gap}. "
                "Valid: labels 0..classes-1; if the gap is meant, name the classes with 'classes'"
            )
        names = tuple(str(label) for label in range(highest + 1))
    if len(names) < 2:
        raise DataError(f"{raw.train.labels_origin}: every label is {raw.train.labels[0]}. Valid: two classes or more")
    for part in raw.parts.values():
        _check_range(part, len(names), f"the classes are {_shortened(names)}")
        _check_same_form(raw.train, part)
    return names


def _check_range(part: Examples, classes: int, because: str) -> None:
    outside = np.flatnonzero((part.labels < 0) | (part.labels >= classes))
    if len(outside):
        first = outside[0]
        raise DataError(
            f"{part.labels_origin}: label {part.labels[first]} of example {first} is outside of the classes "
            f"({len(outside)} such labels). Valid: 0..{classes - 1}, {because}"
        )


def _check_same_form(train: Examples, part: Examples) -> None:
    if part.inputs.shape[1:] != train.inputs.shape[1:]:
        raise DataError(
            f"{part.origin}: the inputs have shape {list(part.inputs.shape[1:])}, those of {train.origin} have "
            f"{list(train.inputs.shape[1:])}. Valid: the same shape in every split"
        )
    if part.inputs.dtype != train.inputs.dtype:
        raise DataError(
            f"{part.origin}: the inputs are {part.inputs.dtype}, those of {train.origin} are {train.inputs.dtype}. "
            "Valid: the same type in every split"
        )


def _shortened(names: tuple[str, ...], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
