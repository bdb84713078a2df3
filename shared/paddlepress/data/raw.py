"""A data set as its source holds it, before it is divided, and the checks it must pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.data.texts import Texts
from paddlepress.data.tokens import Tokens
from paddlepress.spec.tensors import NamedArrays, by_name, joined, names_of

INPUT_NAME = "input"
"""What the only input of data is called."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Of an input: it names files, and tensors of graphs."""

CHUNK_BYTES = 2**24
"""About how much of the inputs is in memory at once where they are read in parts."""


@dataclass(frozen=True)
class Examples:
    """Examples with their targets.

    Attributes:
        stored: uint8 (images, 0..255) or float32; [m, channels, height, width] or [m, features], in memory or in a
            file that is mapped into it; or `Texts`. `NamedArrays` where there are several inputs.
        targets: what is told of each example, [n, ...]: as the source has it, or as the task reads it.
        origin: the file that the inputs came from, which errors name.
        targets_origin: the file that the targets came from.
        rows: the places of the examples among those stored, [n]; None: they are all of them, in order.
    """

    stored: NDArray[Any] | NamedArrays
    targets: NDArray[Any]
    origin: str
    targets_origin: str
    rows: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        inputs: NDArray[Any] | Mapping[str, NDArray[Any]],
        targets: NDArray[Any],
        origin: str,
        targets_origin: str = "",
    ) -> Examples:
        """Bring images or features into their common form, beside what is told of them.

        Args:
            inputs: [n, features], [n, height, width], [n, channels, height, width], or [n, height, width,
                channels] with 1 or 3 channels (taken so only if the second dimension is not 1 or 3); floats,
                or whole numbers in 0..255. Text: [n]. Several by name, for a network that takes several.
            targets: [n, ...], which their task checks.
            origin: names the inputs in errors.
            targets_origin: names the targets in errors; the same as `origin` if empty.

        Raises:
            DataError: inputs of a wrong shape or type, a value out of range or not finite, or different counts.
        """
        targets_origin = targets_origin or origin
        if isinstance(inputs, Mapping):
            named = {name: (array, f"{origin}[{name!r}]") for name, array in inputs.items()}
        else:
            named = {INPUT_NAME: (inputs, origin)}
        if not named:
            raise DataError(f"{origin} holds no inputs. Valid: at least one")
        if odd := next((name for name in named if not _NAME.fullmatch(name)), None):
            raise DataError(
                f"{origin}: an input is called {in_one_line(repr(odd), 60)}. Valid: letters, digits, _ and -"
            )
        if not targets.ndim:
            raise DataError(f"{targets_origin}: the targets are the one value {targets}. Valid: one for each input")
        stored = {}
        for name, (array, where) in named.items():
            found = Texts.of(array, where) if is_text(array) else channels_first(array, where)
            if len(found) != len(targets):
                raise DataError(
                    f"{where} has {len(found)} inputs, {targets_origin} has {len(targets)} labels: they must agree"
                )
            if not len(targets):
                raise DataError(f"{where} holds no examples. Valid: at least one")
            stored[name] = found if isinstance(found, Texts) else np.ascontiguousarray(_as_stored(found, where))
        return cls(joined(stored), targets, origin, targets_origin)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def inputs(self) -> NDArray[Any] | NamedArrays:
        """The inputs [n, ...] in memory."""
        return self.stored if self.rows is None else self.stored[self.rows]

    @property
    def arrays(self) -> dict[str, Any]:
        """All that is stored, [m, ...], by the input's name."""
        return by_name(self.stored, names_of(self.stored, INPUT_NAME))

    def values(self, name: str) -> Any:
        """An input's values, [n, ...]."""
        return self.arrays[name][slice(None) if self.rows is None else self.rows]

    def chunks(self, name: str) -> Iterator[NDArray[Any]]:
        """An input's values in order, a part at a time, so that not all of them need to be in memory."""
        array = self.arrays[name]
        size = max(1, CHUNK_BYTES // max(1, array.nbytes // max(1, len(array))))
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield array[part] if self.rows is None else array[self.rows[part]]

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at these positions."""
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, targets=self.targets[indices], rows=rows)


@dataclass(frozen=True)
class Raw:
    """A data set as its source holds it.

    Attributes:
        name: such as `mnist`.
        train: what may be learned from.
        validation: the source's own validation split, if it has one.
        test: the source's own test split, if it has one.
        classes: the source's own class names, label 0 first; empty if it has none.
        columns: what the source calls the columns of its targets; empty if it has no names for them.
        tokens: how a network that is trained on these data is to take their texts.
    """

    name: str
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)

    @property
    def parts(self) -> dict[str, Examples]:
        """The splits that the source has, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def is_text(inputs: NDArray[Any]) -> bool:
    """Whether inputs are texts [n]."""
    return inputs.ndim == 1 and (
        inputs.dtype.kind == "U" or (inputs.dtype == object and all(isinstance(one, str) for one in inputs))
    )


def channels_first(inputs: NDArray[Any], origin: str) -> NDArray[Any]:
    """Inputs as [n, channels, height, width] or [n, features]; see `Examples.of`."""
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
        raise DataError(f"{origin}: the inputs are {inputs.dtype}. Valid: uint8 images, floats, or text")
    if inputs.dtype != np.uint8 and inputs.size and (inputs.min() < 0 or inputs.max() > 255):
        value = inputs.min() if inputs.min() < 0 else inputs.max()
        raise DataError(f"{origin}: the inputs are {inputs.dtype} and hold {value}. Valid: 0..255, or floats")
    return inputs.astype(np.uint8, copy=False)


def check_same_form(raw: Raw) -> None:
    """Check that all splits' inputs are alike.

    Raises:
        DataError: some differ in shape or type.
    """
    for part in raw.parts.values():
        _compare(raw.train, part)


def _compare(train: Examples, part: Examples) -> None:
    if part.arrays.keys() != train.arrays.keys():
        raise DataError(
            f"{part.origin} holds {', '.join(part.arrays)}, {train.origin} holds {', '.join(train.arrays)}. "
            "Valid: the same inputs in every split"
        )
    for name, own in train.arrays.items():
        other, of = part.arrays[name], f" of {name!r}" if len(train.arrays) > 1 else ""
        if other.shape[1:] != own.shape[1:]:
            raise DataError(
                f"{part.origin}: the inputs{of} have shape {list(other.shape[1:])}, those of {train.origin} have "
                f"{list(own.shape[1:])}. Valid: the same shape in every split"
            )
        if other.dtype != own.dtype:
            raise DataError(
                f"{part.origin}: the inputs{of} are {other.dtype}, those of {train.origin} are {own.dtype}. "
                "Valid: the same type in every split"
            )
