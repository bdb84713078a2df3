"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, SerializeAsAny, SerializerFunctionWrapHandler, ValidationError, model_serializer

from paddlepress.core import plugins
from paddlepress.core.errors import DataError, PaddlepressError, UnknownName, UsageError
from paddlepress.core.fields import explain, explain_all
from paddlepress.spec.metric import Metric
from paddlepress.spec.record import Record
from paddlepress.spec.signature import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array


DEFAULT_KIND = "classification"


@dataclass(frozen=True)
class Score:
    """How good outputs are.

    Attributes:
        value: the primary metric.
        low, high: its 95% confidence interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Guess:
    """How good whoever guesses is.

    Attributes:
        value: the primary metric.
        words: what is done instead of looking at the inputs, such as `guessing among 10 classes`.
    """

    value: float
    words: str


@dataclass(frozen=True)
class Targets:
    """The targets of training examples, as a source has them.

    Attributes:
        values: [n, ...].
        origin: what they are called in errors.
        classes: the names of classes, in the order of their labels; empty where the source has none.
        columns: the names of what each example has several of, in their order; empty where the source has none.
    """

    values: Array
    origin: str
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def check_no_classes(self) -> None:
        """Check that the targets are numbers of their own, not places among the names of classes.

        Raises:
            DataError: they stand for classes that are called otherwise.
        """
        if self.values.dtype.kind in "iu" and self.classes != tuple(map(str, range(len(self.classes)))):
            raise DataError(
                f"{self.origin}: the targets are the classes {shortened(self.classes)}, which are no numbers. "
                f"Valid: the task {DEFAULT_KIND!r}"
            )


class Task(Record, ABC):
    """What a network is for. Subclass it, add fields, implement what is abstract, and register it.

    Attributes:
        kind: the name it is registered under, stated as a `Literal` with a default.
    """

    primary: ClassVar[str]
    """The name of the metric that says how good a network is."""
    metrics: ClassVar[Mapping[str, Metric]]
    """What outputs are judged by, by name: the primary one is given by `score`, others by `further`."""
    smooths_labels: ClassVar[bool] = False
    """Whether the loss can give a share of each label to all others."""

    group: ClassVar[tuple[str, str]] = ("class", "classes")
    """What one of the `groups` is called, and several."""

    refuses: ClassVar[Collection[str]] = ()
    """The steps of augmentation, by name, after which targets would no longer be those of their inputs; `mixup` where
    a mixture of two targets' losses means nothing."""

    kind: str

    @property
    @abstractmethod
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What a network gives; the first dimension is the batch and is left out of shapes."""

    @property
    def out_features(self) -> int:
        """The size of the last dimension of a network's first output, which an architecture is built with."""
        return self.outputs[0].shape[-1]

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """The task that data are for: what a recipe states of it, completed by what the data say.

        Args:
            stated: fields; what is left out is taken from the data.
            targets: of the training examples.

        Raises:
            UsageError: the fields do not fit.
            DataError: the targets are none of this task.
        """
        return cls.stating(stated)

    @classmethod
    def stating(cls, fields: Mapping[str, Any]) -> Self:
        """The task with these fields.

        Raises:
            UsageError: they do not fit, in words.
        """
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            raise UsageError(f"task: {explain(error, cls)}") from None

    @abstractmethod
    def read(self, values: Array, origin: str) -> Array:
        """Targets as training and scoring take them, checked.

        Args:
            values: as a user has them, [n, ...].
            origin: what they are called in errors.

        Raises:
            DataError: a wrong shape or type, or a value that the task does not know.
        """

    def fitted(self, targets: Array) -> Task:
        """This task with what it takes from training targets, as `read` gives them."""
        return self

    @abstractmethod
    def decode(self, outputs: Array) -> dict[str, Array]:
        """What outputs say, as a device or a server tells it.

        Args:
            outputs: float array [n, ...] of the first output.

        Returns:
            Columns [n] by name, such as `label` and `score`.
        """

    def probabilities(self, outputs: Array) -> Array:
        """The probabilities that outputs stand for, float32 [n, ...].

        Raises:
            DataError: they stand for none.
        """
        raise DataError(f"the task {self.kind!r} has no probabilities")

    @abstractmethod
    def score(self, outputs: Array, targets: Array) -> Score:
        """How good outputs are, by the primary metric.

        Args:
            outputs: float array [n, ...] of the first output.
            targets: array [n, ...] as the data hold them.

        Raises:
            DataError: there are no examples, or not as many outputs as targets.
        """

    def further(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The other `metrics` of the task than the primary one, by name.

        Args:
            outputs, targets: as of `score`.
        """
        return {}

    def unscorable(self, targets: Array) -> str:
        """Why nothing can be scored on examples with these targets [n, ...], in words; empty if it can."""
        return "" if len(targets) else "there are none"

    def guess(self, targets: Array) -> Guess | None:
        """How good a model is that has learned nothing, on examples with these targets [n, ...]; None: unknown."""
        return None

    @abstractmethod
    def agreement(self, outputs: Array, others: Array) -> float:
        """How far two models say the same of the same examples, in percent.

        Args:
            outputs, others: float arrays [n, ...] of the first output.
        """

    def groups(self, targets: Array) -> dict[str, NDArray[np.bool_]]:
        """Parts of the examples that are scored by themselves too, so that a report can say what a model forgot.

        Args:
            targets: array [n, ...].

        Returns:
            Masks [n] by name; empty parts are left out.
        """
        return {}

    @abstractmethod
    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """What training minimizes: a scalar, the mean over examples.

        Args:
            outputs: [n, ...] of the first output.
            targets: [n, ...].
            label_smoothing: share of each label given to all others, 0 to 1; above 0 where `smooths_labels` only.
        """

    @abstractmethod
    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """How far a student's outputs are from a teacher's: a scalar of 0 or more, 0 where they agree.

        Args:
            student, teacher: [n, ...] of the first output; the teacher's as they are, without gradients.
            temperature: above 0; what logits are divided by, if the outputs are any.
        """

    @model_serializer(mode="wrap")
    def _with_kind(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """State the kind where defaults are left out too; data without one are of a classification."""
        found: dict[str, Any] = serialize(self)
        return found if self.kind == DEFAULT_KIND else {"kind": self.kind, **found}

    def mismatch(self, other: Task) -> str:
        """Why outputs made for another task mean nothing for this one, in words; empty if they do."""
        if self.kind != other.kind:
            return f"is for {other.kind}, not for {self.kind}"
        return "" if self == other else f"is for another {self.kind}"

    def describe(self) -> str:
        """It in a few words, such as `classification, 10 classes`."""
        return self.kind

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the primary metric is better."""
        return bool(self.metrics[self.primary].higher_is_better)

    def best(self, values: list[float]) -> int:
        """The place of the best value of the primary metric, the first of equal ones."""
        return values.index((max if self.higher_is_better else min)(values))


def shortened(names: tuple[str, ...], most: int = 10) -> str:
    """Names for a message, the first ones of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def task_class(kind: str) -> type[Task]:
    """The task registered under a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
    """
    found: type[Task] = plugins.load(plugins.TASKS, kind)
    return found


def stated_task(value: Any) -> Any:
    """A task as a recipe states it, as a mapping of `kind` and those of its fields that are given.

    Args:
        value: a task's name, or such a mapping, in which the kind may be left out.

    Raises:
        ValueError: there is no such task, or a field is unknown or wrong; all that is wrong is told.
    """
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise ValueError("must be a task's name, or a mapping of 'kind' and its fields")
    if not value:
        return value
    try:
        chosen = task_class(str(value.get("kind", DEFAULT_KIND)))
    except PaddlepressError as error:
        raise ValueError(str(error)) from None
    unknown = [str(key) for key in value if key not in chosen.model_fields]
    problems = [str(UnknownName("field", key, chosen.model_fields)) for key in unknown]
    try:
        chosen.model_validate({key: part for key, part in value.items() if key in chosen.model_fields})
    except ValidationError as error:  # what is missing is taken from the data
        present = [one for one in error.errors() if one["type"] != "missing"]
        texts = explain_all(error, chosen)
        problems += [text for one, text in zip(error.errors(), texts, strict=True) if one in present]
    if problems:
        raise ValueError("; ".join(problems)) from UsageError(*problems)
    return dict(value)


def _of_its_kind(value: Any) -> Any:
    """Data that state a `kind` as the task of this kind; a task as it is."""
    if not isinstance(value, Mapping):
        return value
    try:
        chosen = task_class(str(value.get("kind", DEFAULT_KIND)))
    except PaddlepressError as error:
        raise ValueError(str(error)) from None
    return chosen.model_validate(dict(value))


AnyTask = Annotated[SerializeAsAny[Task], BeforeValidator(_of_its_kind)]
"""The type of a field that holds a task of any kind."""
