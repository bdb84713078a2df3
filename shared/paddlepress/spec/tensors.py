"""Tensors as arrays, and as codes on a grid."""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

import ml_dtypes  # noqa: F401 -- registers bfloat16 with NumPy, under that name
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Array = NDArray[Any]


class Inputs(Protocol):
    """Examples that a network takes, float32 [n, *shape]: an array, or what gives a part of itself as one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Any: ...
    def __array__(self, dtype: Any = ..., /) -> NDArray[Any]: ...


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
