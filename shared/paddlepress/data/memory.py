"""Data sets from arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import UsageError
from paddlepress.data.dataset import StoredDataset, StoredSplit
from paddlepress.data.prepared import Prepared, prepared
from paddlepress.data.raw import Examples, Raw
from paddlepress.data.store import specs_of
from paddlepress.data.texts import Texts
from paddlepress.data.tokens import Tokens
from paddlepress.tasks import Task
from paddlepress.tasks.base import DEFAULT_KIND

X = NDArray[Any] | Mapping[str, NDArray[Any]]
"""The inputs of examples: an array [n, ...], or several by name."""


@dataclass(frozen=True)
class Sizes:
    """How large the splits are that are taken from the training examples, see `Source`."""

    validation: float = 0.1
    test: float = 0.2
    calibration: int = 1000
    limit: int | None = None
    test_limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """What is learned from, and, kept apart from it, what models are judged on.

    Attributes:
        learning: the splits `train`, `validation` and `calibration`.
        test: the split `test`, which no technique sees.
    """

    learning: StoredDataset
    test: StoredDataset


def from_arrays(
    x: X,
    y: NDArray[Any],
    test: tuple[X, NDArray[Any]] | None = None,
    *,
    validation: tuple[X, NDArray[Any]] | None = None,
    classes: tuple[str, ...] = (),
    task: Task | None = None,
    sizes: Sizes | None = None,
    tokens: Tokens | None = None,
    name: str = "arrays",
) -> Data:
    """Images or features with what is told of them, divided as a recipe divides them.

    Args:
        x: [n, features], [n, height, width], [n, channels, height, width] or [n, height, width, channels]; floats, or
            whole numbers in 0..255. For a network that takes several inputs a mapping of names to such arrays, in the
            order in which it takes them. Text: [n].
        y: targets as the task reads them; for classes labels, whole numbers [n].
        test, validation: the same of examples that are kept apart; without them a share of `x` is.
        classes: the classes' names, label 0 first; empty takes the labels. Not with a task.
        task: what a network is to learn, such as `Regression(targets=("price",))`; by default a classification.
        sizes: of what is taken from `x`, and the seed that it follows.
        tokens: how texts become numbers; by default the 10,000 most frequent words.
        name: what the data are called in messages and records.

    Raises:
        DataError: arrays of a wrong shape or type, values out of range, or a split that would be empty.
    """
    if task is not None and classes:
        raise UsageError("'classes' are given beside a task, which states its own")

    def read(part: tuple[X, NDArray[Any]], origin: str, targets_origin: str) -> Examples:
        given, targets = part
        if isinstance(given, Mapping):
            arrays = {name: np.asarray(array) for name, array in given.items()}
            return Examples.of(arrays, np.asarray(targets), origin, targets_origin)
        return Examples.of(np.asarray(given), np.asarray(targets), origin, targets_origin)

    raw = Raw(
        name,
        read((x, y), "x", "y"),
        None if validation is None else read(validation, "validation[0]", "validation[1]"),
        None if test is None else read(test, "test[0]", "test[1]"),
        tokens=tokens or Tokens(),
    )
    wanted = task or {"kind": DEFAULT_KIND, **({"classes": classes} if classes else {})}
    found = prepared(raw, wanted, sizes or Sizes())
    return Data(_stored(found, found.learning), _stored(found, {"test": found.parts.test}))


def _stored(found: Prepared, splits: dict[str, Examples]) -> StoredDataset:
    inputs = specs_of(found.parts.train, found.statistics)
    said = [part.model_dump_json() for part in (found.task, found.statistics, *inputs)]
    sha = hashlib.sha256("\n".join(said).encode())
    for split, part in sorted(splits.items()):
        for array in (*map(part.values, part.arrays), part.targets):
            plain = Texts.of(array, part.origin).packed if array.dtype == object else array
            sha.update(f"{split} {plain.dtype.str} {list(plain.shape)}".encode())
            sha.update(np.ascontiguousarray(plain).data)
    stored = {split: StoredSplit(part.inputs, part.targets) for split, part in splits.items()}
    return StoredDataset(found.name, inputs, found.task, stored, sha.hexdigest(), found.statistics)
