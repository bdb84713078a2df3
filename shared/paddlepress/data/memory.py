"""Data sets from arrays in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from paddlepress.data.dataset import StoredDataset, StoredSplit
from paddlepress.data.manifest import DataManifest, SplitRecord, digest_of
from paddlepress.data.raw import Examples, Raw, class_names, examples
from paddlepress.data.splits import divide
from paddlepress.data.statistics import measured
from paddlepress.data.store import INPUT_NAME
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification


@dataclass(frozen=True)
class Sizes:
    """How large the splits are that are taken from the training examples, see `DataConfig`."""

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
    x: NDArray[Any],
    y: NDArray[Any],
    test: tuple[NDArray[Any], NDArray[Any]] | None = None,
    *,
    validation: tuple[NDArray[Any], NDArray[Any]] | None = None,
    classes: tuple[str, ...] = (),
    sizes: Sizes | None = None,
    name: str = "arrays",
) -> Data:
    """Images or features with their labels, divided as a recipe divides them.

    Args:
        x: [n, features], [n, height, width], [n, channels, height, width] or [n, height, width, channels]; floats, or
            whole numbers in 0..255.
        y: labels, whole numbers [n].
        test, validation: the same of examples that are kept apart; without them a share of `x` is.
        classes: the classes' names, label 0 first; empty takes the labels.
        sizes: of what is taken from `x`, and the seed that it follows.
        name: what the data are called in messages and records.

    Raises:
        DataError: arrays of a wrong shape or type, values out of range, or a split that would be empty.
    """
    sizes = sizes or Sizes()
    raw = Raw(
        name,
        examples(x, y, "x", "y"),
        examples(*validation, "validation[0]", "validation[1]") if validation is not None else None,
        examples(*test, "test[0]", "test[1]") if test is not None else None,
    )
    names = class_names(raw, classes)
    parts = divide(raw, sizes)
    learning = {"train": parts.train, "validation": parts.validation, "calibration": parts.calibration}
    found = [_stored(name, splits, names, parts.train.inputs) for splits in (learning, {"test": parts.test})]
    return Data(*found)


def _stored(name: str, splits: dict[str, Examples], classes: tuple[str, ...], train: NDArray[Any]) -> StoredDataset:
    statistics = measured(train)
    inputs = (TensorSpec(name=INPUT_NAME, shape=train.shape[1:]),)
    manifest = DataManifest(
        name=name,
        inputs=inputs,
        classes=classes,
        scale=statistics.scale,
        mean=statistics.mean,
        std=statistics.std,
        splits={split: SplitRecord(count=len(part), file=split) for split, part in splits.items()},
        files={},
        digest="0" * 64,  # until it is known
    )
    return StoredDataset(
        name=name,
        inputs=inputs,
        task=Classification(classes=classes),
        splits={split: StoredSplit(part.inputs, part.labels) for split, part in splits.items()},
        digest=digest_of(manifest, {split: (part.inputs, part.labels) for split, part in splits.items()}),
        statistics=statistics,
    )
