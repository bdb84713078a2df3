"""Regression: one or several numbers for each example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paddlepress.core.errors import DataError
from paddlepress.spec.metric import Metric
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks.base import Guess, Score, Targets, Task

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array

R2 = Metric("%", True, "share of the targets' variance that is explained, on the deployed runtime", label="R squared")
_FEWEST = 4


class Regression(Task):
    """Numbers for each example.

    Outputs are standardized predictions [n, targets]: a target is an output times its deviation plus its mean. Targets
    are float32 [n, targets] as the data hold them.

    Attributes:
        targets: their names, in the order of the outputs.
        mean, std: of each target on training data.
    """

    primary: ClassVar[str] = "r2"
    metrics: ClassVar[Mapping[str, Metric]] = {"r2": R2}

    kind: Literal["regression"] = "regression"
    targets: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if {len(self.mean), len(self.std)} - {0, len(self.targets)} or len(self.mean) != len(self.std):
            raise ValueError(f"'mean' and 'std' have {len(self.mean)} and {len(self.std)} numbers. Valid: one a target")
        if any(not (math.isfinite(value) and value > 0) for value in self.std):
            raise ValueError(f"'std' holds {min(self.std):g}. Valid: finite numbers above 0")
        if not all(map(math.isfinite, self.mean)):
            raise ValueError(f"'mean' holds {max(self.mean, key=abs):g}. Valid: finite numbers")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("'targets' names one more than once. Valid: distinct names")
        return self

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Standardized predictions, one a target."""
        return (TensorSpec(name="predictions", shape=(len(self.targets),)),)

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """With the targets that are stated, or else the source's own names, or else numbers."""
        targets.check_no_classes()
        count = targets.values.shape[1] if targets.values.ndim > 1 else 1
        numbered = ("target",) if count == 1 else tuple(f"target {place}" for place in range(count))
        return cls.stating({"targets": targets.columns or numbered, **stated})

    def read(self, values: Array, origin: str) -> Array:
        """Finite float32 [n, targets]."""
        import numpy as np

        found = values[:, None] if values.ndim == 1 else values
        if found.ndim != 2 or found.shape[1] != len(self.targets) or found.dtype.kind not in "fiu":
            raise DataError(
                f"{origin}: the targets are {values.dtype} of shape {list(values.shape)}. "
                f"Valid: numbers of shape [n, {len(self.targets)}]"
            )
        with np.errstate(over="ignore"):  # what does not fit turns infinite and is refused
            read = found.astype(np.float32)
        wrong = ~np.isfinite(read)
        bad = np.flatnonzero(wrong.any(axis=1))
        if len(bad):
            value = found[bad[0]][wrong[bad[0]]][0]
            raise DataError(
                f"{origin}: target {bad[0]} holds {value} ({len(bad)} such targets). "
                "Valid: finite numbers, up to 3.4e38 either sign"
            )
        return read

    def fitted(self, targets: Array) -> Regression:
        """With the mean and deviation of training targets, unless they are stated."""
        if self.mean:
            return self
        means, deviations = targets.mean(axis=0, dtype=float), targets.std(axis=0, dtype=float)
        for name, deviation in zip(self.targets, deviations, strict=True):
            if deviation == 0:
                raise DataError(f"the target {name!r} is the same for all training examples: there is nothing to learn")
        found = {"mean": tuple(map(float, means)), "std": tuple(map(float, deviations))}
        return self.model_copy(update=found)

    def decode(self, outputs: Array) -> dict[str, Array]:
        """A column of predictions for each target, in the data's unit."""
        values = outputs * self._row(self.std or (1.0,)) + self._row(self.mean or (0.0,))
        return {name: values[:, place] for place, name in enumerate(self.targets)}

    def score(self, outputs: Array, targets: Array) -> Score:
        """R squared over all targets in percent, with the interval of Olkin and Finn, Psychological Bulletin 1995.

        Raises:
            DataError: there are fewer than four examples, not as many outputs as targets, or targets that do not vary.
        """
        import numpy as np

        if len(outputs) != len(targets):
            raise DataError(f"R squared needs as many predictions as targets; got {len(outputs)} and {len(targets)}")
        if reason := self.unscorable(targets):
            raise DataError(f"R squared has no meaning: {reason}")
        wanted = self.standardized(targets).astype(np.float64)
        spread = np.square(wanted - wanted.mean(axis=0)).sum()
        share = float(1 - np.square(outputs.astype(np.float64) - wanted).sum() / spread)
        count, bounded = len(targets), min(1.0, max(0.0, share))
        variance = 4 * bounded * (1 - bounded) ** 2 * (count - 2) ** 2 / ((count**2 - 1) * (count + 3))
        half = 1.959964 * math.sqrt(variance)
        return Score(100 * share, 100 * (share - half), min(100.0, 100 * (share + half)))

    def unscorable(self, targets: Array) -> str:
        """Why R squared has no meaning."""
        if len(targets) < _FEWEST:
            return f"there are {len(targets)} examples. Valid: {_FEWEST} or more"
        return "" if (targets != targets[:1]).any() else "all targets are the same. Valid: targets that vary"

    def guess(self, targets: Array) -> Guess:
        """Always the mean, which explains nothing."""
        return Guess(0.0, "always naming the mean")

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of one model's variance that the other's predictions have in common, in percent, at least 0."""
        import numpy as np

        first, second = outputs.astype(np.float64), others.astype(np.float64)
        spread = np.square(second - second.mean(axis=0)).sum()
        off = np.square(first - second).sum()
        return 100.0 * float(max(0.0, 1 - off / spread)) if spread else 100.0 * float(off == 0)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """Mean squared error of standardized targets."""
        import paddle.nn.functional as F

        return F.mse_loss(outputs, self.standardized(targets).astype(outputs.dtype))

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """Mean squared difference; a temperature has no meaning here."""
        import paddle.nn.functional as F

        return F.mse_loss(student, teacher)

    def standardized(self, targets: Array | paddle.Tensor) -> Array | paddle.Tensor:
        """Targets as outputs are."""
        if not self.mean:
            return targets
        if hasattr(targets, "stop_gradient"):
            import paddle

            mean, std = (paddle.to_tensor(self._row(part)).astype(targets.dtype) for part in (self.mean, self.std))
            return (targets - mean) / std
        return (targets - self._row(self.mean)) / self._row(self.std)

    def describe(self) -> str:
        """Kind and targets."""
        return f"regression of {', '.join(self.targets)}"

    @staticmethod
    def _row(values: tuple[float, ...]) -> NDArray[np.float32]:
        import numpy as np

        return np.asarray(values, np.float32)[None]
