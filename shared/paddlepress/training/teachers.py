"""Teachers of distillation: frozen networks and their outputs on the training data, cached where they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.forward.outputs import tensors_of
from paddlepress.training.batch import Batch
from paddlepress.training.features import Capture

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.spec.tensors import Inputs

CACHE_BYTES = 2**28
"""How much a teacher's answers for a whole training split may take in memory; else it is asked anew each time."""

_CHUNK = 128

Summary = Callable[[list[paddle.Tensor]], list[paddle.Tensor]]
"""What is kept of a teacher's features, one for each of its layers: tensors [n, ...]."""


@dataclass(frozen=True)
class Answer:
    """What a teacher makes of a batch.

    Attributes:
        outputs: [n, ...].
        features: what the summary kept of its layers' features.
    """

    outputs: paddle.Tensor
    features: list[paddle.Tensor]


class Teacher:
    """Answers for the batches of a training split.

    Args:
        network: in evaluation mode from now on; computed without gradients.
        train: the split.
        augmented: whether a batch's inputs are others than the split's own. If not, and if the answers for the
            whole split are no more than `CACHE_BYTES`, they are computed once.
        layers: whose features are wanted.
        summary: what is kept of them.
    """

    def __init__(
        self,
        network: paddle.nn.Layer,
        train: Split,
        augmented: bool = False,
        layers: Sequence[str] = (),
        summary: Summary = list,
    ) -> None:
        network.eval()
        self._network, self._layers, self._summary = network, layers, summary
        self._cached: list[NDArray[Any]] | None = None
        self._latest: tuple[Batch, Answer] | None = None
        if not augmented:
            self._cached = self._all(train.inputs)

    def __call__(self, batch: Batch) -> Answer:
        if self._cached is None:
            if self._latest is None or self._latest[0] is not batch:  # mixed targets have a batch's loss made twice
                self._latest = batch, self._ask(batch.inputs)
            return self._latest[1]
        outputs, *features = (paddle.to_tensor(part[batch.indices]) for part in self._cached)
        return Answer(outputs, features)

    def _ask(self, inputs: tuple[paddle.Tensor, ...]) -> Answer:
        with Capture(self._network, self._layers) as captured, paddle.no_grad():
            outputs = self._network(*inputs)
            return Answer(outputs, self._summary([captured.outputs[name] for name in self._layers]))

    def _all(self, inputs: Inputs) -> list[NDArray[Any]] | None:
        """The answers for a whole split; None if they are too large."""
        kept: list[NDArray[Any]] = []
        for start in range(0, len(inputs), _CHUNK):
            answer = self._ask(tensors_of(inputs[start : start + _CHUNK]))
            parts = [part.numpy() for part in (answer.outputs, *answer.features)]
            if not kept:
                if sum(part[0].nbytes for part in parts) * len(inputs) > CACHE_BYTES:
                    return None
                kept = [np.empty((len(inputs), *part.shape[1:]), part.dtype) for part in parts]
            for whole, part in zip(kept, parts, strict=True):
                whole[start : start + len(part)] = part
        return kept
