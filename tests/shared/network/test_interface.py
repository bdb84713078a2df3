"""Networks of a kind that is not supported are refused in one sentence, before anything is spent on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from surgical import Build, builder, images

from paddlepress.core import compute
from paddlepress.core.errors import DataError
from paddlepress.network.interface import check_supported
from paddlepress.spec.signature import TensorSpec

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402


@pytest.fixture
def build() -> Iterator[Build]:
    """Build a model of a layer class given as its architecture."""
    with pytest.MonkeyPatch.context() as patch:
        yield builder(patch)


class Head(nn.Layer):
    """A dense layer over flattened inputs, and what is made of its logits."""

    def __init__(self, made: Callable[[Any, bool], Any] = lambda logits, training: logits):
        super().__init__()
        self.made, self.norm, self.dense = made, nn.BatchNorm1D(192), nn.Linear(192, 10)

    def forward(self, x):
        return self.made(self.dense(self.norm(x.flatten(1))), self.training)


class Second(Head):
    """Takes a second input."""

    def forward(self, x, mask):
        return super().forward(x * mask)


class Words(nn.Layer):
    """Looks up what it is given."""

    def __init__(self):
        super().__init__()
        self.words, self.dense = nn.Embedding(2, 6), nn.Linear(6, 10)

    def forward(self, x):
        return self.dense(self.words(x.astype("int64")).mean([1, 2, 3]))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda y, training: (y, y), "gives 2 outputs as a tuple; supported"),
        (lambda y, training: {"logits": y}, "gives 1 outputs as a dict; supported"),
        (lambda y, training: [y, y] if training else y, "gives 2 outputs as a list in training mode; supported"),
        (lambda y, training: y[:, :7], r"gives float32 \[n, 7\]; supported"),
        (lambda y, training: y.unsqueeze(1), r"gives float32 \[n, 1, 10\]; supported"),
        (lambda y, training: y.sum(), r"gives float32 \[\]; supported"),
        (lambda y, training: y.argmax(1), r"gives int64 \[n\]; supported"),
        (lambda y, training: None, "gives a NoneType; supported"),
    ],
    ids=["tuple", "dict", "training", "classes", "places", "scalar", "labels", "nothing"],
)
def test_other_outputs(made: Callable[[Any, bool], Any], said: str, build: Build) -> None:
    """Two outputs, or one that is not [n, classes], are named along with what is supported."""
    with pytest.raises(DataError, match=said) as caught:
        check_supported(build(lambda: Head(made)))
    assert "supported is a network that gives one tensor of logits, here [n, 10]" in str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_other_inputs(build: Build) -> None:
    """A second input that is not stated or not taken is refused; so is a shape that the network does not take."""
    model = build(Head)
    two = replace(model, inputs=(*model.inputs, TensorSpec(name="mask", shape=(3, 8, 8))))
    with pytest.raises(DataError, match=r"can't be run on 2 inputs of float32 \[3, 8, 8\] and .*; supported"):
        check_supported(two)
    with pytest.raises(
        DataError, match=r"can't be run on 2 inputs of float32 \[3, 8, 8\]: TypeError.*mask.*; supported"
    ):
        check_supported(build(Second))
    with pytest.raises(DataError, match=r"can't be run on 2 inputs of float32 \[3, 9, 9\]: .*; supported"):
        check_supported(build(Head, (3, 9, 9)))


@pytest.mark.parametrize("network", [Head, Words])
def test_supported(network: type[nn.Layer], build: Build) -> None:
    """Others pass, and neither they nor random numbers are changed."""
    model = build(network)
    before = model.digest()
    compute.seed_everything(3)
    expected = paddle.rand([2]).numpy()
    compute.seed_everything(3)
    check_supported(model)
    assert np.array_equal(paddle.rand([2]).numpy(), expected)
    assert model.digest() == before
    assert not model.network.training
    assert np.isfinite(model.predict(np.abs(images(model)).clip(0, 1))).all()
