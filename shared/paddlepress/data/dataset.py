"""A data set: as it is stored, and as a model takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError
from paddlepress.spec.preprocessing import AnyPreprocessing, InputPreprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import Inputs, NamedArrays, by_name, joined
from paddlepress.tasks import Task

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class PreprocessedInputs:
    """Inputs as a network takes them, made of the stored ones when they are asked for.

    The stored ones may be a file that is mapped into memory, so that a data set larger than memory can be learned from:
    a slice, or the rows at some places, are read and preprocessed by themselves; `numpy.asarray` makes all at once.

    Args:
        stored: uint8 or float32 array [n, *shape], or `Texts`.
        preprocessing: what makes of them what the network takes.
    """

    def __init__(self, stored: Any, preprocessing: InputPreprocessing) -> None:
        self.stored, self.preprocessing = stored, preprocessing

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, *shape]."""
        return (len(self), *self[:0].shape[1:])

    @property
    def ndim(self) -> int:
        """How many dimensions there are, the examples' own and that of their number."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is given."""
        return self[:0].dtype

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        return self.preprocessing.apply(self.stored[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("preprocessed inputs are made anew, which is a copy")
        found = self[:]
        return found if dtype is None else found.astype(dtype)


@dataclass(frozen=True)
class Split:
    """Examples of one purpose.

    Attributes:
        inputs: float32 [n, *shape], as the network takes them: after its model's preprocessing. An array, or what gives
            a slice or some rows as one; of a network that takes several, `NamedArrays`.
        labels: the targets: int64 [n], each in 0..classes-1, for classes; else as the task reads them.
    """

    inputs: Inputs
    labels: NDArray[Any]

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
    """Splits that share their inputs' shape and their task.

    A data set for techniques has `train`, `validation` and `calibration`; the one that variants are
    judged on has `test` only.

    Attributes:
        name: where it came from, such as `mnist`.
        inputs: what a network must take.
        task: what a network is to learn of it.
        splits: by name.
        digest: SHA-256 over all splits.
        preprocessing: what made these inputs of the stored ones; None where that is unknown.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    task: Task
    splits: dict[str, Split]
    digest: str
    preprocessing: AnyPreprocessing | None = None

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            DataError: there is none.
        """
        return _named(self.splits, name, self.name)


@dataclass(frozen=True)
class StoredSplit:
    """Examples of one purpose, as they are stored.

    Attributes:
        inputs: uint8 or float32 array [n, *shape]; `NamedArrays` where there are several.
        labels: the targets: int64 [n], each in 0..classes-1, for classes; else as the task reads them.
    """

    inputs: NDArray[Any] | NamedArrays
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class StoredDataset:
    """A data set as it is stored; a model sees it through its own preprocessing.

    Attributes:
        name, inputs, task, digest: as of `Dataset`.
        splits: by name.
        statistics: the preprocessing that brings the training inputs to mean 0 and deviation 1, which a model that
            is trained on them from the start takes for its own; its dtype is that of the stored
            inputs. By their names where there are several.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    task: Task
    splits: dict[str, StoredSplit]
    digest: str
    statistics: AnyPreprocessing

    def split(self, name: str) -> StoredSplit:
        """A split by name.

        Raises:
            DataError: there is none.
        """
        return _named(self.splits, name, self.name)

    def unfit(self, preprocessing: AnyPreprocessing) -> str:
        """Why a model with some preprocessing can't take these data, in words that follow its name; empty if it can."""
        data = f"the data {self.name!r}"
        if unlike := preprocessing.unlike(self.statistics, data):
            return unlike
        misfit = preprocessing.misfit(tuple(preprocessing.of(spec.name).taken(spec) for spec in self.inputs))
        return f"does not fit {data}: {misfit}" if misfit else ""

    def through(self, preprocessing: AnyPreprocessing) -> Dataset:
        """The data set as a network takes it.

        Raises:
            DataError: the preprocessing is of inputs of another dtype, or of another number of channels.
        """
        if unfit := self.unfit(preprocessing):
            raise DataError(f"the model's preprocessing {unfit}")
        names = tuple(spec.name for spec in self.inputs)

        def prepared(stored: NDArray[Any] | NamedArrays) -> Any:
            arrays = by_name(stored, names)
            return joined({name: PreprocessedInputs(array, preprocessing.of(name)) for name, array in arrays.items()})

        return Dataset(
            name=self.name,
            inputs=tuple(preprocessing.of(spec.name).taken(spec) for spec in self.inputs),
            task=self.task,
            splits={name: Split(prepared(part.inputs), part.labels) for name, part in self.splits.items()},
            digest=self.digest,
            preprocessing=preprocessing,
        )

    def for_model(self, model: Model) -> Dataset:
        """The data set as a model's network takes it.

        Raises:
            DataError: the model does not state its preprocessing, or it does not fit.
        """
        if model.preprocessing is None:
            raise DataError(
                f"the model does not state its preprocessing, so how it takes the data {self.name!r} is unknown. "
                "State it when the model is built or imported"
            )
        return self.through(model.preprocessing)


S = TypeVar("S")


def _named(splits: dict[str, S], name: str, dataset: str) -> S:
    if name not in splits:
        raise DataError(f"the data set {dataset!r} has no {name!r} split. It has: {', '.join(splits)}")
    return splits[name]
