"""A data set made ready: its task known, its targets read, its examples divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples, Raw, check_same_form
from paddlepress.data.splits import Divided, Sizes, divide
from paddlepress.data.statistics import measured
from paddlepress.spec.preprocessing import AnyPreprocessing
from paddlepress.tasks import Task
from paddlepress.tasks.base import Targets, task_class


@dataclass(frozen=True)
class Prepared:
    """A data set that can be stored.

    Attributes:
        name: such as `mnist`.
        task: what a network is to learn of it.
        parts: the examples, by purpose.
        statistics: of the training inputs.
    """

    name: str
    task: Task
    parts: Divided
    statistics: AnyPreprocessing

    @property
    def learning(self) -> dict[str, Examples]:
        """The splits that techniques learn from, by name."""
        return {"train": self.parts.train, "validation": self.parts.validation, "calibration": self.parts.calibration}


def prepared(raw: Raw, wanted: Mapping[str, Any] | Task, sizes: Sizes) -> Prepared:
    """Bring a data set from its source's form into ours.

    Args:
        raw: as the source has it.
        wanted: the task, or what is stated of it: its `kind`, and fields.
        sizes: how large the splits are to be.

    Raises:
        DataError: targets that are none of the task, splits that differ in form, or one that would be empty.
        UsageError: fields that the task does not take.
    """
    task = wanted if isinstance(wanted, Task) else _completed(raw, wanted)
    check_same_form(raw)
    read = {
        name: replace(part, targets=task.read(part.targets, part.targets_origin)) for name, part in raw.parts.items()
    }
    parts = divide(Raw(raw.name, read["train"], read.get("validation"), read.get("test")), sizes)
    fitted = task.fitted(parts.train.targets)
    for name, part in {"validation": parts.validation, "test": parts.test}.items():
        if reason := fitted.unscorable(part.targets):
            raise DataError(f"{part.targets_origin}: nothing can be scored on the {name} split: {reason}")
    return Prepared(raw.name, fitted, parts, measured(parts.train, raw.tokens))


def _completed(raw: Raw, wanted: Mapping[str, Any]) -> Task:
    fields = {name: value for name, value in wanted.items() if name != "kind"}
    train = raw.train
    if not len(train):
        raise DataError(f"{train.origin} holds no examples. Valid: at least one")
    return task_class(wanted["kind"]).of_data(
        fields, Targets(train.targets, train.targets_origin, raw.classes, raw.columns)
    )
