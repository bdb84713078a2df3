"""A classification data set in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddlepress.errors import DataError
from paddlepress.model import InputSpec, Task


@dataclass(frozen=True)
class Split:
    """Examples of one purpose.

    Attributes:
        inputs: float32 array [n, *shape], normalized.
        labels: int64 array [n], each in 0..classes-1.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int, seed: int = 0) -> Split:
        """A random sample without replacement, of at most `count` examples."""
        if count >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        return Split(self.inputs[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Dataset:
    """Splits that share their inputs' shape and their classes.

    A data set for techniques has `train`, `validation` and `calibration`; the one that variants are
    judged on has `test` only.

    Attributes:
        name: where it came from, such as `mnist`.
        inputs: what a network must take.
        task: the classes.
        splits: by name.
        digest: SHA-256 over all splits.
    """

    name: str
    inputs: tuple[InputSpec, ...]
    task: Task
    splits: dict[str, Split]
    digest: str

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            DataError: there is none.
        """
        try:
            return self.splits[name]
        except KeyError:
            raise DataError(
                f"the data set {self.name!r} has no {name!r} split. It has: {', '.join(self.splits)}"
            ) from None
