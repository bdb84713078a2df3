"""A task of one's own: how often something happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from paddlepress import Regression, Score

if TYPE_CHECKING:
    import paddle


class Counts(Regression):
    """Counts for each example, by Poisson regression: outputs are logarithms of rates, targets are counts."""

    kind: Literal["counts"] = "counts"

    def fitted(self, targets: np.ndarray[Any, Any]) -> Counts:
        return self  # counts have a unit of their own: nothing to standardize

    def decode(self, outputs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {name: np.exp(outputs[:, place]) for place, name in enumerate(self.targets)}

    def score(self, outputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> Score:
        return super().score(np.exp(outputs), targets)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        import paddle.nn.functional as F

        return F.poisson_nll_loss(outputs, targets)

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        rates = teacher.exp()  # the KL divergence of two Poisson distributions
        return (rates * (teacher - student) - rates + student.exp()).mean()
