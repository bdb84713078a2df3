"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer

from paddlepress.core import plugins
from paddlepress.core.errors import DataError, PaddlepressError
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


class Task(Record, ABC):
    """What a network is for. Subclass it, add fields, implement what is abstract, and register it.

    Attributes:
        kind: the name it is registered under, stated as a `Literal` with a default.
    """

    primary: ClassVar[str]
    """The name of the metric that says how good a network is."""
    metrics: ClassVar[Mapping[str, Metric]]
    """What a score is made of, by name."""
    smooths_labels: ClassVar[bool] = False
    """Whether the loss can give a share of each label to all others."""

    kind: str

    @property
    @abstractmethod
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What a network gives; the first dimension is the batch and is left out of shapes."""

    @property
    def out_features(self) -> int:
        """The size of the last dimension of a network's first output, which an architecture is built with."""
        return self.outputs[0].shape[-1]

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


def task_class(kind: str) -> type[Task]:
    """The task registered under a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
    """
    found: type[Task] = plugins.load(plugins.TASKS, kind)
    return found


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
