"""Adaptive pooling is deployed as it is computed, however an image parts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.core import compute
from paddlepress.deployment.conversion import onnx_graph
from paddlepress.network import architectures
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402

from paddlepress.deployment.pooling import are_even, exact_adaptive_pooling, windows  # noqa: E402


class Pooled(nn.Layer):
    """Pools of several kinds, each to several sizes, side by side."""

    def __init__(self, kind: str, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.kind, self.sizes = kind, sizes
        self.shift = self.create_parameter([1])

    def forward(self, x: Any) -> Any:
        pool = getattr(F, f"adaptive_{self.kind}")
        return self.shift + F.relu(sum(pool(x, size).flatten(1).sum(1, keepdim=True) * size for size in self.sizes))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("avg_pool1d", (2, 9)), ("max_pool1d", (2, 9)), ("avg_pool2d", (2, 9, 5)), ("max_pool2d", (2, 9, 5))],
)
def test_every_size(kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that part the image evenly, unevenly, and into more windows than it has pixels."""
    network = Pooled(kind, (1, 3, 5, 7, 11))
    monkeypatch.setattr(architectures, "build", lambda *given: network)
    inputs = (TensorSpec(name="x", shape=shape),)
    model = Model.build(ArchitectureRef(name="pooled"), inputs, Classification(classes=("a", "b")))
    x = np.random.default_rng(0).normal(1, 1, (3, *shape)).astype(np.float32)
    graph, _ = onnx_graph(model)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], model.predict(x), rtol=1e-4)


def test_paddles_own_is_back_afterwards() -> None:
    """Only while a network is converted is pooling another."""
    before = F.adaptive_avg_pool2d
    with exact_adaptive_pooling():
        assert F.adaptive_avg_pool2d is not before
    assert F.adaptive_avg_pool2d is before


@given(st.integers(1, 40), st.integers(1, 40))
def test_windows(length: int, count: int) -> None:
    """Windows cover an axis from end to end without a gap; they are even exactly if one size and distance make them."""
    found = windows(length, count)
    assert (found[0][0], found[-1][1], len(found)) == (0, length, count)
    assert all(start < end for start, end in found)
    assert all(after[0] <= before[1] for before, after in pairwise(found))
    sizes = {end - start for start, end in found}
    distances = {after[0] - before[0] for before, after in pairwise(found)}
    assert are_even(length, count) == (len(sizes) == 1 and len(distances) <= 1 and 0 not in distances)
