"""Small networks of a test's own, as models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.network import architectures
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402

SHAPE = (1, 8, 8)


class Computed(nn.Layer):
    """A convolution to 8 channels, and something computed of its output, in a layer called `then`."""

    def __init__(self, function: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = nn.Conv2D(shape[0], 8, 3, padding=1)
        self.then = function if isinstance(function, nn.Layer) else Lambda(function)
        self.shift = self.create_parameter([1])

    def forward(self, x: Any) -> Any:
        return self.then(self.conv(x)).flatten(1) + self.shift


class Lambda(nn.Layer):
    """A function as a layer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def as_model(make: Callable[[], nn.Layer], monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...] = SHAPE) -> Model:
    """The model of a network, whose parameters are all random; it has as many classes as the network has outputs."""

    def build(*given: Any) -> nn.Layer:
        paddle.seed(0)
        return make()

    monkeypatch.setattr(architectures, "build", build)
    inputs = (TensorSpec(name="x", shape=shape),)
    outputs = make()(paddle.zeros([2, *shape])).shape[1]
    model = Model.build(ArchitectureRef(name="own"), inputs, Classification(classes=tuple(map(str, range(outputs)))))
    random = np.random.default_rng(0)
    for parameter in model.network.parameters():
        parameter.set_value(random.uniform(0.1, 0.4, parameter.shape).astype(np.float32))
    return model
