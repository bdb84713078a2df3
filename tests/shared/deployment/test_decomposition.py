"""Operators that the converter gets wrong or does not know are deployed as they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.deployment.conversion import onnx_graph
from paddlepress.deployment.verification import random_inputs, run_graph

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from own_networks import SHAPE, Computed, as_model  # noqa: E402
from paddle import nn  # noqa: E402

CENTRED = {  # of values between about -1 and 1
    "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
    "softplus": F.softplus,
    "softplus, steep": lambda x: F.softplus(x, 3.0, 2.0),
    "celu": lambda x: F.celu(x, 0.7),
    "maxout": lambda x: F.maxout(x, 2),
    "maxout, last axis": lambda x: F.maxout(x, 4, axis=-1),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "bilinear by a factor": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear by a fraction": lambda x: F.interpolate(x, scale_factor=[1.4, 0.7], mode="bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    "bicubic by a factor": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "nearest by a factor": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
    "nearest by a fraction": lambda x: F.interpolate(x, scale_factor=1.4, mode="nearest"),
    "layer_norm over maps": lambda x: F.layer_norm(x, [8, 8, 8]),
    "layer_norm over two axes": lambda x: F.layer_norm(x, [8, 8]),
    "repeat_interleave": lambda x: x.repeat_interleave(2, axis=1),
    "repeat_interleave, unequal": lambda x: paddle.repeat_interleave(x, paddle.to_tensor([1, 2] * 4), axis=2),
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "mean of all": lambda x: x * paddle.linspace(0, 1, 8).mean(),
    "stanh": paddle.stanh,
    "rrelu": lambda x: F.rrelu(x, training=False),
    "expm1": paddle.expm1,
    "trunc": lambda x: paddle.trunc(3 * x),
    "lerp": lambda x: paddle.lerp(x, x * x, 0.3),
    "masked_fill": lambda x: paddle.masked_fill(x, x > 0, 0.5),
    "amax": lambda x: paddle.amax(x, [1, 2]),
    "amin": lambda x: paddle.amin(x, 1, keepdim=True),
    "logit": lambda x: paddle.logit(F.sigmoid(x)),
    "logit, clipped": lambda x: paddle.logit(x, 0.1),
}


def _assert_deployed(make: Callable[[], nn.Layer], monkeypatch: pytest.MonkeyPatch) -> None:
    model = as_model(make, monkeypatch)
    inputs = random_inputs(model.inputs, 5)
    expected = model.predict(inputs)
    graph, _ = onnx_graph(model)
    assert expected.std() > 1e-3
    for count in (1, 5):
        found = run_graph(graph)(inputs[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", CENTRED)
def test_a_function_of_maps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gives what the network gives, whatever the batch."""
    _assert_deployed(lambda: Computed(lambda x: CENTRED[name](x - 0.5), SHAPE), monkeypatch)


class Written(nn.Layer):
    """Slices of maps are written: backwards, with steps, of single places, and with what broadcasts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(1, 8, 3, padding=1)

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        z = paddle.zeros_like(y)
        z[:, ::-2, 1:] = y[:, :4, :-1]
        z[:, -1] = 2
        z[..., 0] = y[..., 3]
        z[:, 2:5, 1:3, 2] = y[:, :3, 0, 0].unsqueeze(-1)
        z[:, 1, 6, 6] = paddle.to_tensor(7.0)
        z[:, :2, 3:5, 3:] = y[:, 2:3, :1, :1]
        shifted = z + 1
        z[:, 6:] = shifted[:, :2] * 0.5
        return (z + shifted).flatten(1)


def test_slice_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written into slices is there afterwards, and nothing else is changed."""
    _assert_deployed(Written, monkeypatch)


class ChannelsLast(nn.Layer):
    """Every kind of layer that knows images whose channels come last."""

    def __init__(self) -> None:
        super().__init__()
        last = {"data_format": "NHWC"}
        self.layers = nn.Sequential(
            nn.Conv2D(1, 8, 3, padding=1, **last),
            nn.BatchNorm2D(8, **last),
            nn.PReLU(8, **last),
            nn.MaxPool2D(2, **last),
            nn.Conv2D(8, 8, 3, groups=8, padding="SAME", **last),
            nn.GroupNorm(2, 8, **last),
            nn.Conv2DTranspose(8, 6, 2, stride=2, **last),
            nn.AvgPool2D(3, 2, 1, **last),
            nn.Upsample(scale_factor=2, mode="bilinear", **last),
            nn.AdaptiveAvgPool2D(4, **last),
            nn.ChannelShuffle(2, **last),
            nn.PixelUnshuffle(2, **last),
            nn.PixelShuffle(2, **last),
        )

    def forward(self, x: Any) -> Any:
        return self.layers(x.transpose([0, 2, 3, 1])).flatten(1)


def test_channels_that_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of NHWC layers is deployed as it is."""
    _assert_deployed(ChannelsLast, monkeypatch)


class NormedMaps(nn.Layer):
    """Layer norms over maps, with a scale and a shift for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2D(1, 8, 3, padding=1), nn.LayerNorm([8, 8, 8]), nn.LayerNorm([8, 8]))

    def forward(self, x: Any) -> Any:
        return self.layers(x).flatten(1)


def test_layer_norm_with_a_scale_for_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scale and shift are applied to the places that they belong to."""
    _assert_deployed(NormedMaps, monkeypatch)


def test_an_attribute_of_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slope in the graph is the network's: the converter reads doubles as floats, from uninitialised memory."""
    model = as_model(lambda: Computed(nn.LeakyReLU(0.3), SHAPE), monkeypatch)
    nodes = onnx_graph(model)[0].graph.node
    slopes = [attribute.f for node in nodes if node.op_type == "LeakyRelu" for attribute in node.attribute]
    assert slopes == [pytest.approx(0.3)]


def test_parameters_made_afterwards_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer keeps its state by name: a layer made after an export may not share those of one made before."""
    model = as_model(lambda: Computed(nn.LeakyReLU(0.3), SHAPE), monkeypatch)
    before = [nn.Conv2D(1, 8, 3).weight.name for _ in range(2)]
    onnx_graph(model)
    after = [nn.Conv2D(1, 8, 3).weight.name for _ in range(2)]
    number = [int(name.split("_")[-2].split(".")[0]) for name in (*before, *after)]
    assert number == sorted(set(number)), (before, after)
