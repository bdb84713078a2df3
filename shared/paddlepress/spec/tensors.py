"""Tensors as arrays, and as codes on a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Protocol

import ml_dtypes  # noqa: F401 -- registers bfloat16 with NumPy, under that name
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from paddlepress.core.errors import DataError, UnknownName

Array = NDArray[Any]


class Inputs(Protocol):
    """Examples that a network takes, or data hold: for one input an array [n, *shape] or what gives rows of itself as
    one, for several inputs `NamedArrays`."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Any: ...


class NamedArrays:
    """Several inputs of the same examples: arrays [n, *shape] by name, in the order in which the network takes them.

    It has rows as one array has: its length is their number, and rows are taken of all arrays at once.

    Args:
        arrays: by name, at least one; or what gives rows of itself as an array.

    Raises:
        DataError: they are not of as many examples each.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = dict(arrays)
        counts = {name: len(array) for name, array in self.arrays.items()}
        if len(set(counts.values())) != 1:
            told = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
            raise DataError(f"there are {told or 'no inputs'}. Valid: as many examples of each input")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, rows: Any) -> NamedArrays:
        if isinstance(rows, str | int | np.integer):
            raise TypeError(f"rows are taken by a slice or an array, not by {rows!r}; 'arrays' has the inputs by name")
        return NamedArrays({name: array[rows] for name, array in self.arrays.items()})


def by_name(inputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Inputs by name, in that order.

    Args:
        inputs: `NamedArrays` of these names, or of one input whatever has its rows.
        names: of the inputs.
    """
    return {name: inputs.arrays[name] for name in names} if isinstance(inputs, NamedArrays) else {names[0]: inputs}


def named(inputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Inputs that a user gives, checked, by name in that order; see `by_name`.

    Raises:
        DataError: some are missing, or there are not as many examples of each.
        UnknownName: one has another name.
    """
    given = inputs.arrays if isinstance(inputs, NamedArrays) else inputs
    if not isinstance(given, Mapping):
        if len(names) > 1:
            raise DataError(f"one array is given; the model takes {', '.join(names)}, each by its name")
        return {names[0]: given}
    for name in given:
        if name not in names:
            raise UnknownName("input", name, names)
    if missing := [name for name in names if name not in given]:
        raise DataError(f"no inputs of {', '.join(missing)}; the model takes {', '.join(names)}")
    return NamedArrays({name: given[name] for name in names}).arrays


def names_of(inputs: Any, only: str = "input") -> tuple[str, ...]:
    """The names of inputs; `only` is that of a single one."""
    return tuple(inputs.arrays) if isinstance(inputs, NamedArrays) else (only,)


def arrays_of(inputs: Any) -> tuple[Any, ...]:
    """The arrays of inputs, one each."""
    return tuple(inputs.arrays.values()) if isinstance(inputs, NamedArrays) else (inputs,)


def joined(arrays: Mapping[str, Any]) -> Any:
    """What stands for inputs: the array of the only one, else `NamedArrays`."""
    return next(iter(arrays.values())) if len(arrays) == 1 else NamedArrays(arrays)


def each(inputs: Any, change: Callable[[Any], Any]) -> Any:
    """Inputs with the array of each changed."""
    if isinstance(inputs, NamedArrays):
        return NamedArrays({name: change(array) for name, array in inputs.arrays.items()})
    return change(inputs)


BFLOAT16 = "bfloat16"


class Quantized(BaseModel):
    """A tensor on a grid: `value = code * scale`, zero at code zero.

    Attributes:
        codes: int8 or int16 array of the tensor's shape.
        scale: float32 array, one per index along `axis`, or of size 1 where `axis` is None; with `group`
            [size of the axis, groups], see `spread_scale`.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    codes: Array
    scale: Array
    axis: int | None
    group: int | None = None

    def values(self) -> Array:
        """The float32 tensor that these codes stand for."""
        return self.codes.astype(np.float32) * spread_scale(self.scale, self.axis, self.codes.shape, self.group)


def spread_scale(scale: Array, axis: int | None, shape: tuple[int, ...], group: int | None = None) -> Array:
    """Shape scales so that they multiply a tensor.

    Args:
        scale: one per index along `axis`; one in all where `axis` is None; with `group`
            [size of the axis, groups]: one for each run of `group` weights that an index of the axis has,
            counted with that axis moved to the front and the others flattened. The last run may be shorter.
        axis: which axis.
        shape: of the tensor.
        group: the length of a run.
    """
    if axis is None:
        return scale.reshape(())
    if group is not None:
        front = (shape[axis], *shape[:axis], *shape[axis + 1 :])
        length = prod(front[1:])
        rows = np.repeat(scale.reshape(shape[axis], -1), min(group, length), axis=1)
        return np.moveaxis(rows[:, :length].reshape(front), 0, axis)
    return scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
