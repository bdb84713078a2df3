"""Multi-label classification: any number of several labels for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from paddlepress.core.errors import DataError
from paddlepress.spec.metric import Metric
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks.base import Score, Targets, Task

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array

F1 = Metric(
    "%", True, "harmonic mean of precision and recall over all labels (micro), on the deployed runtime", label="F1"
)
_RESAMPLES = 500


class MultiLabel(Task):
    """Labels for each example, each by itself present or not.

    Outputs are logits [n, labels], a label being present where its logit is above 0; targets are float32 [n, labels]
    of zeros and ones.

    Attributes:
        labels: their names, in the order of the logits.
    """

    primary: ClassVar[str] = "f1"
    metrics: ClassVar[Mapping[str, Metric]] = {"f1": F1}
    group: ClassVar[tuple[str, str]] = ("label", "labels")

    kind: Literal["multi-label"] = "multi-label"
    labels: tuple[str, ...] = Field(min_length=1)

    @field_validator("labels")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names one more than once. Valid: distinct names")
        return value

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Logits, one a label."""
        return (TensorSpec(name="logits", shape=(len(self.labels),)),)

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """With the labels that are stated, or else the source's own names, or else numbers."""
        targets.check_no_classes()
        count = targets.values.shape[1] if targets.values.ndim > 1 else 1
        return cls.stating({"labels": targets.columns or tuple(map(str, range(count))), **stated})

    def read(self, values: Array, origin: str) -> Array:
        """Zeros and ones, float32 [n, labels]."""
        import numpy as np

        found = values[:, None] if values.ndim == 1 else values
        if found.ndim != 2 or found.shape[1] != len(self.labels) or found.dtype.kind not in "biuf":
            raise DataError(
                f"{origin}: the targets are {values.dtype} of shape {list(values.shape)}. "
                f"Valid: zeros and ones of shape [n, {len(self.labels)}]"
            )
        bad = np.argwhere((found != 0) & (found != 1))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                f"{origin}: target {row} has {found[row, column]} for {self.labels[column]!r}. Valid: 0 or 1"
            )
        return found.astype(np.float32)

    def decode(self, outputs: Array) -> dict[str, Array]:
        """A column of probabilities for each label."""
        found = self.probabilities(outputs)
        return {name: found[:, place] for place, name in enumerate(self.labels)}

    def probabilities(self, outputs: Array) -> Array:
        """Sigmoid of each logit, computed in float64."""
        import numpy as np

        return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs.astype(np.float64))), np.float32)

    def score(self, outputs: Array, targets: Array) -> Score:
        """F1 over all labels in percent; its interval by resampling examples (Efron, Annals of Statistics 1979).

        Raises:
            DataError: there are no examples, or not as many outputs as targets.
        """
        import numpy as np

        if len(outputs) != len(targets) or not len(targets):
            raise DataError(
                f"F1 needs as many predictions as targets, and at least one; got {len(outputs)} and {len(targets)}"
            )
        told, there = outputs > 0, targets > 0.5
        # Of each example: right, told too much, and not told.
        counts = np.stack([(told & there).sum(1), (told & ~there).sum(1), (~told & there).sum(1)], axis=1)
        generator, number = np.random.default_rng(0), len(counts)
        resampled = [_f1(counts[generator.integers(0, number, number)]) for _ in range(_RESAMPLES)]
        low, high = np.percentile(resampled, [2.5, 97.5])
        return Score(_f1(counts), float(low), float(high))

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of labels that two models give alike, in percent."""
        import numpy as np

        return 100.0 * float(np.mean((outputs > 0) == (others > 0)))

    def groups(self, targets: Array) -> dict[str, NDArray[np.bool_]]:
        """The examples that have each label."""
        masks = {name: targets[:, place] > 0.5 for place, name in enumerate(self.labels)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """Binary cross entropy, the mean over examples and labels."""
        import paddle.nn.functional as F

        return F.binary_cross_entropy_with_logits(outputs, targets.astype(outputs.dtype))

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """`T^2` times the mean over labels of the KL divergence from the teacher's probability at temperature T."""
        import paddle.nn.functional as F

        probability = F.sigmoid(teacher / temperature)
        crossed = F.binary_cross_entropy_with_logits(student / temperature, probability)
        own = F.binary_cross_entropy_with_logits(teacher / temperature, probability)
        return temperature**2 * (crossed - own)

    def describe(self) -> str:
        """Kind and number of labels."""
        return f"multi-label, {len(self.labels)} labels"


def _f1(counts: Array) -> float:
    """Percent, from rows of right, too much and missing; 100 where there is nothing to tell and nothing told."""
    right, more, less = (int(part) for part in counts.sum(axis=0))
    return 100.0 * 2 * right / (2 * right + more + less) if right + more + less else 100.0
