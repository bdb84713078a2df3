"""The examples of one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import paddle


@dataclass(frozen=True)
class Batch:
    """One step's examples.

    Attributes:
        indices: int64 array [n], into the training split.
        inputs: tensors [n, *shape] as the network gets them, one for each of its inputs, after augmentation.
    """

    indices: NDArray[np.int64]
    inputs: tuple[paddle.Tensor, ...]
