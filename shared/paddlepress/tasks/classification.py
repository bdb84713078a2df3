"""Classification: one of several classes for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.spec.metric import Metric
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks.base import Guess, Score, Targets, Task, shortened
from paddlepress.tasks.intervals import wilson

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array

ACCURACY = Metric("%", True, "share of test examples classified correctly, on the deployed runtime", label="Accuracy")
MACRO_F1 = Metric(
    "%",
    True,
    "mean over the classes of the test data of each one's F1 score, on the deployed runtime",
    label="Macro F1",
)
TOP_5 = Metric(
    "%",
    True,
    "share of test examples whose class has one of the five largest logits, on the deployed runtime",
    label="Top-5 accuracy",
)
BALANCED = "balanced"
_FIVE = 5


def _weights(value: Any) -> str | tuple[float, ...]:
    if value == BALANCED:
        return BALANCED
    numbers = isinstance(value, list | tuple) and all(isinstance(weight, int | float) for weight in value)
    if not numbers or not all(0 < weight < float("inf") for weight in value):
        raise ValueError(f"must be {BALANCED!r}, or a list of a positive number for each class")
    return tuple(map(float, value))


class Classification(Task):
    """One class for each example.

    Outputs are logits [n, classes]; targets are labels, int64 [n], each in 0..classes-1.

    Attributes:
        classes: the classes' names, in the order of the logits.
        class_weights: how much an example of each class counts in the loss; none: all the same. `balanced` is taken
            from the training examples: n / (classes * examples of the class), after King and Zeng, "Logistic Regression
            in Rare Events Data", 2001.
    """

    primary: ClassVar[str] = "accuracy"
    metrics: ClassVar[Mapping[str, Metric]] = {"accuracy": ACCURACY, "macro_f1": MACRO_F1, "top5_accuracy": TOP_5}
    smooths_labels: ClassVar[bool] = True

    kind: Literal["classification"] = "classification"
    classes: tuple[str, ...] = Field(min_length=1)
    class_weights: Annotated[
        str | tuple[float, ...], BeforeValidator(_weights), Field(exclude_if=lambda weights: not weights)
    ] = ()

    @model_validator(mode="after")
    def _a_weight_for_each_class(self) -> Self:
        count = 0 if self.class_weights == BALANCED else len(self.class_weights)
        if count not in (0, len(self.classes)):
            raise ValueError(f"'class_weights' has {count} weights for {len(self.classes)} classes")
        return self

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Logits, one a class."""
        return (TensorSpec(name="logits", shape=(len(self.classes),)),)

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """With the classes that are stated, or else the source's own, or else the labels that occur."""
        wanted, told, origin = tuple(stated.get("classes", ())), targets.classes, targets.origin
        if wanted and told and len(wanted) != len(told):
            raise DataError(f"'classes' names {len(wanted)} classes, but {origin} has {len(told)}")
        astray = [name for name, own in zip(wanted, told, strict=False) if name != own and name in told]
        if astray and targets.values.dtype.kind not in "UO":
            raise DataError(
                f"{origin}: 'classes' names {astray[0]!r} in another place than the data do, and their labels would "
                f"mean other classes. Valid: {shortened(told)}, in that order, or other names for them"
            )
        classes = wanted or told or _occurring(_column(targets.values, origin), origin)
        if len(classes) < 2:
            raise DataError(f"{origin}: every label is {targets.values.flat[0]}. Valid: two classes or more")
        return cls.stating({**stated, "classes": classes})

    def read(self, values: Array, origin: str) -> Array:
        """Labels, int64 [n], of labels or of classes' names."""
        import numpy as np

        found = _column(values, origin)
        if found.dtype.kind in "UO":
            places = {name: place for place, name in enumerate(self.classes)}
            found = np.array([places.get(str(name), -1) for name in found], np.int64)
            told = values.reshape(-1)
        else:
            told = found
        outside = np.flatnonzero((found < 0) | (found >= len(self.classes)))
        if len(outside):
            first = outside[0]
            named = told.dtype.kind in "UO"
            valid = "" if named else f"0..{len(self.classes) - 1}, "
            raise DataError(
                f"{origin}: label {in_one_line(told[first], 60)} of example {first} is outside of the classes "
                f"({len(outside)} such labels). Valid: {valid}the classes are {shortened(self.classes)}"
            )
        return found.astype(np.int64)

    def fitted(self, targets: Array) -> Classification:
        """With balanced weights of its classes, if it is to have them; a class without examples counts like any."""
        import numpy as np

        if self.class_weights != BALANCED:
            return self
        counts = np.bincount(targets, minlength=len(self.classes))
        weights = np.where(counts, len(targets) / (len(counts) * np.maximum(1, counts)), 1.0)
        return self.model_copy(update={"class_weights": tuple(weights.tolist())})

    def decode(self, outputs: Array) -> dict[str, Array]:
        """The most probable class, `label`, and its probability, `score`."""
        import numpy as np

        labels = np.array([self.classes[index] for index in outputs.argmax(axis=1)], dtype=object)
        return {"label": labels, "score": self.probabilities(outputs).max(axis=1, initial=0)}

    def probabilities(self, outputs: Array) -> Array:
        """Softmax over the classes, computed in float64."""
        return softmax(outputs)

    def score(self, outputs: Array, targets: Array) -> Score:
        """The share of examples whose largest logit is the label's, in percent, with its Wilson interval."""
        percent = accuracy(outputs, targets)
        return Score(percent, *wilson(percent, len(targets)))

    def further(self, outputs: Array, targets: Array) -> dict[str, float]:
        """Macro F1, to which each class of the targets counts alike; top-5 accuracy of more than five classes."""
        import numpy as np
        from sklearn.metrics import f1_score

        there = np.unique(targets)
        f1 = f1_score(targets, outputs.argmax(axis=1), labels=there, average="macro", zero_division=0)
        found = {"macro_f1": 100.0 * float(f1)}
        if len(self.classes) > _FIVE:
            largest = np.argpartition(outputs, -_FIVE, axis=1)[:, -_FIVE:]
            found["top5_accuracy"] = 100.0 * float((largest == targets[:, None]).any(axis=1).mean())
        return found

    def guess(self, targets: Array) -> Guess:
        """One class of all at random, or always the most frequent one, if that is right more often."""
        import numpy as np

        return best_guess(np.bincount(targets, minlength=len(self.classes)).tolist())

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of examples that two models classify alike, in percent."""
        return accuracy(outputs, others.argmax(axis=1))

    def groups(self, targets: Array) -> dict[str, NDArray[np.bool_]]:
        """The examples of each class."""
        masks = {name: targets == index for index, name in enumerate(self.classes)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """Cross entropy, smoothed as in Szegedy et al., "Rethinking the Inception Architecture", 2016.

        With weights it is the sum of the examples' weighted losses over the sum of their weights.
        """
        import paddle
        import paddle.nn.functional as F

        if not self.class_weights:
            return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        weights = paddle.to_tensor(self.class_weights, "float32")[targets]
        each = F.cross_entropy(outputs, targets, label_smoothing=label_smoothing, reduction="none").reshape([-1])
        return (each * weights).sum() / weights.sum()

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """`T^2 * KL(teacher || student)` at temperature T: Hinton, Vinyals and Dean, 2015.

        T^2 keeps the gradients at the size that they have at temperature 1.
        """
        import paddle.nn.functional as F

        target = F.softmax(teacher / temperature, axis=-1)
        return temperature**2 * kl_divergence(target, F.log_softmax(student / temperature, axis=-1))

    def mismatch(self, other: Task) -> str:
        """Why logits for other classes mean nothing for these."""
        if not isinstance(other, Classification):
            return super().mismatch(other)
        if len(other.classes) != len(self.classes):
            return f"tells {len(other.classes)} classes apart, not {len(self.classes)}"
        for number, (wanted, found) in enumerate(zip(self.classes, other.classes, strict=True)):
            if wanted != found:
                return f"has another class {number}: {found!r}, not {wanted!r}"
        return ""

    def describe(self) -> str:
        """Kind and number of classes."""
        return f"classification, {len(self.classes)} classes"


def softmax(logits: Array, axis: int = 1) -> Array:
    """Probabilities over the classes, float32 [n, classes, ...], computed in float64.

    Args:
        logits: [n, classes, ...].
        axis: that of the classes, where it is another.
    """
    import numpy as np

    powers = np.exp(logits.astype(np.float64) - logits.max(axis=axis, initial=-np.inf, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True), np.float32)


def best_guess(counts: Sequence[int]) -> Guess:
    """How often whoever knows nothing but the classes is right.

    Args:
        counts: examples of each class.
    """
    even, largest = 100 / len(counts), 100 * max(counts) / max(1, sum(counts))
    if largest > even:
        return Guess(largest, "always naming the most frequent class")
    return Guess(even, f"guessing among {len(counts)} classes")


def _column(values: Array, origin: str) -> Array:
    """Labels or names [n]."""
    found = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if found.ndim != 1 or found.dtype.kind not in "iuUO":
        raise DataError(
            f"{origin}: the labels are {values.dtype} of shape {list(values.shape)}. "
            "Valid: whole numbers, or classes' names, of shape [n]"
        )
    return found


def _occurring(labels: Array, origin: str) -> tuple[str, ...]:
    """The classes that labels or names [n] speak of."""
    import numpy as np

    if labels.dtype.kind in "UO":
        return tuple(sorted({str(name) for name in labels}))
    present = np.unique(labels)
    highest = int(present.max())
    if present[0] < 0:
        first, count = np.flatnonzero(labels < 0)[0], int((labels < 0).sum())
        raise DataError(
            f"{origin}: label {labels[first]} of example {first} is outside of the classes ({count} such labels). "
            f"Valid: 0..{max(highest, 0)}, counted from 0"
        )
    if len(present) <= highest:
        gap = next(label for label in range(highest + 1) if label >= len(present) or present[label] != label)
        raise DataError(
            f"{origin}: label {highest} occurs, but no training example has label {gap}. "
            "Valid: labels 0..classes-1; if the gap is meant, name the classes with 'classes'"
        )
    return tuple(str(label) for label in range(highest + 1))


def kl_divergence(target: paddle.Tensor, log_student: paddle.Tensor) -> paddle.Tensor:
    """KL(target || student), the mean over examples.

    Args:
        target: probabilities [n, classes].
        log_student: log-probabilities [n, classes].
    """
    import numpy as np
    import paddle

    tiny = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 has a logarithm all the same
    return (target * (paddle.log(paddle.clip(target, min=tiny)) - log_student)).sum(axis=-1).mean()


def accuracy(logits: Array, labels: Array) -> float:
    """Share of examples whose largest logit is the label's, in percent.

    Args:
        logits: float array [n, classes].
        labels: int array [n].

    Raises:
        DataError: there are no examples, or not as many logits as labels.
    """
    import numpy as np

    if len(logits) != len(labels) or not len(labels):
        raise DataError(
            f"accuracy needs as many predictions as labels, and at least one; got {len(logits)} and {len(labels)}"
        )
    return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))
