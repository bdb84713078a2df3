"""Architectures by name."""

from __future__ import annotations

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.core.errors import DataError, UnknownName, UsageError
from paddlepress.network import architectures
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()

import paddle  # noqa: E402

MNIST = (TensorSpec(name="image", shape=(1, 28, 28)),)
COLOUR = (TensorSpec(name="image", shape=(3, 32, 32)),)
TEN = Classification(classes=tuple("0123456789"))


def build(name: str, inputs: tuple[TensorSpec, ...] = MNIST, **arguments: object) -> Model:
    return Model.build(ArchitectureRef(name=name, arguments=arguments), inputs, TEN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet", 421_642),
        ("lenet-half", 105_866),
        ("lenet-300-100", 266_610),
        ("lenet5-caffe", 431_080),
        ("mlp", 55_050),
    ],
)
def test_the_networks_have_the_papers_sizes(name: str, parameters: int) -> None:
    """As many parameters as the papers count, and one logit per class."""
    model = build(name)
    assert sum(parameter.size for parameter in model.network.parameters()) == parameters
    assert model.predict(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_the_residual_network_is_the_papers() -> None:
    """He et al. count 0.27M parameters at depth 20 and 0.85M at 56, on colour images; width scales them all."""
    counts = {depth: _parameters(build("resnet-cifar", COLOUR, depth=depth)) for depth in (20, 56)}
    assert {depth: round(count / 1e6, 2) for depth, count in counts.items()} == {20: 0.27, 56: 0.86}
    narrow = build("resnet-cifar", depth=14, width=8)
    assert narrow.predict(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)
    assert narrow.network.stage3[1].conv2.weight.shape == [32, 32, 3, 3]


def _parameters(model: Model) -> int:
    return sum(parameter.size for parameter in model.network.parameters() if not parameter.stop_gradient)


def test_the_fast_convolution_computes_what_paddles_does() -> None:
    """Adding the bias another way changes no result, nor any gradient, beyond rounding."""
    from paddlepress.network.architectures.layers import Conv2D

    fast, plain = Conv2D(3, 4, 3, padding=1), paddle.nn.Conv2D(3, 4, 3, padding=1)
    plain.set_state_dict(fast.state_dict())
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32))
    for layer in (fast, plain):
        layer(x).square().sum().backward()
    np.testing.assert_allclose(fast(x).numpy(), plain(x).numpy(), atol=1e-5)
    np.testing.assert_allclose(fast.bias.grad.numpy(), plain.bias.grad.numpy(), rtol=1e-4)


def test_paddles_vision_models_have_names() -> None:
    """Every function of `paddle.vision.models` that builds a network is `vision/NAME`."""
    names = architectures.names()
    assert {"vision/resnet18", "vision/mobilenet_v2", "vision/googlenet", "lenet"} <= set(names)
    model = build("vision/squeezenet1_1", (TensorSpec(name="image", shape=(3, 64, 64)),))
    assert model.predict(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("lenet", (1, 3, 3), "3x3.*at least 4x4"),
        ("lenet5-caffe", (1, 8, 8), "8x8.*at least 16x16"),
        ("resnet-cifar", (1, 3, 8), "3x8.*at least 4x4"),
        ("lenet", (784,), r"\(784,\)"),
        ("vision/resnet18", (1, 28, 28), r"\(1, 28, 28\).*\[3, height, width\]"),
    ],
)
def test_inputs_that_do_not_fit_are_told(name: str, shape: tuple[int, ...], words: str) -> None:
    """The message has the shape of the data and what the architecture takes."""
    with pytest.raises(DataError, match=words):
        build(name, (TensorSpec(name="image", shape=shape),))


def test_bad_arguments_are_told() -> None:
    """Unknown ones with the valid ones, and values out of range."""
    with pytest.raises(UnknownName, match=r"architecture 'lenet': unknown argument 'wide'.*Valid: width"):
        build("lenet", wide=2)
    with pytest.raises(UsageError, match="width is -1"):
        build("lenet", width=-1)
    with pytest.raises(UsageError, match=r"depth is 18; it must be 6n \+ 2"):
        build("resnet-cifar", depth=18)
    with pytest.raises(UsageError, match="pretrained"):
        build("vision/resnet18", (TensorSpec(name="image", shape=(3, 32, 32)),), pretrained=True)
