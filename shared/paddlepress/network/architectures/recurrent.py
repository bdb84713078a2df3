"""A recurrent network that reads sequences, and images row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.network.architectures.layers import whole

if TYPE_CHECKING:
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task


class RecurrentClassifier(nn.Layer):
    """LSTM layers over the steps of a sequence, one dense layer on what the last step gives.

    Args:
        features: of a step.
        classes: logits.
        hidden: units of each LSTM layer.
        layers: LSTM layers, one on the other.
    """

    def __init__(self, features: int, classes: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=layers)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if x.ndim == 4:  # an image's rows, all channels of a row side by side
            x = x.transpose([0, 2, 1, 3]).flatten(2)
        outputs, _ = self.lstm(x)
        return self.classify(outputs[:, -1])


def lstm(inputs: tuple[TensorSpec, ...], task: Task, hidden: int = 128, layers: int = 1) -> RecurrentClassifier:
    """An LSTM (Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997) that classifies sequences.

    Args:
        inputs: one sequence [steps, features], or one image [channels, height, width], read row by row.
        task: as many logits as it has classes.
        hidden: units of each LSTM layer.
        layers: LSTM layers, one on the other.
    """
    shapes = [spec.shape for spec in inputs]
    if len(shapes) != 1 or len(shapes[0]) not in (2, 3):
        raise DataError(
            f"the data have inputs of shape {shapes}; "
            "this architecture takes one sequence [steps, features] or one image [channels, height, width]"
        )
    hidden, layers = whole("hidden", hidden, 1, 65_536), whole("layers", layers, 1, 64)
    shape = shapes[0]
    features = shape[1] if len(shape) == 2 else shape[0] * shape[2]
    return RecurrentClassifier(features, task.out_features, hidden, layers)
