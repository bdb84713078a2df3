"""One layer's weight and its inputs, for every kind of layer."""

from __future__ import annotations

from typing import Literal

import numpy as np
import paddle
import pytest
from paddle import nn

from paddlepress.network.edits import Quantize
from paddlepress.network.grids import Cover, as_rows, quantize_weight
from paddlepress.network.layer_kinds import output_axis
from paddlepress.spec.tensors import Quantized
from paddlepress_components.quantization import input_products, weight_rounding
from paddlepress_components.quantization.adaround import Settings
from paddlepress_components.quantization.layer_functions import input_channels, is_transposed, patches
from paddlepress_components.quantization.layer_runs import layer_inputs, trace_forward

COVERS: tuple[Cover, ...] = ("max", "mse")
IMAGE = (6, 4, 9, 9)
LAYERS = {
    "conv": (lambda: nn.Conv2D(4, 6, 3, stride=2, padding=1), IMAGE),
    "dilated": (lambda: nn.Conv2D(4, 6, (3, 2), dilation=2, padding="SAME"), IMAGE),
    "reflecting": (lambda: nn.Conv2D(4, 6, 3, padding=1, padding_mode="reflect", bias_attr=False), IMAGE),
    "grouped": (lambda: nn.Conv2D(4, 6, 3, groups=2), IMAGE),
    "depthwise": (lambda: nn.Conv2D(4, 8, 3, padding=1, groups=4), IMAGE),
    "channels last": (lambda: nn.Conv2D(4, 6, 3, data_format="NHWC"), (6, 9, 9, 4)),
    "one dimension": (lambda: nn.Conv1D(4, 6, 3, padding=1), (6, 4, 9)),
    "three dimensions": (lambda: nn.Conv3D(2, 3, 3, padding=1), (4, 2, 5, 5, 5)),
    "transposed": (lambda: nn.Conv2DTranspose(4, 6, 3, stride=2, padding=1, output_padding=1), (6, 4, 5, 5)),
    "transposed, grouped": (lambda: nn.Conv2DTranspose(4, 6, 3, stride=2, groups=2), (6, 4, 5, 5)),
    "dense": (lambda: nn.Linear(12, 5), (32, 12)),
    "dense over sequences": (lambda: nn.Linear(12, 5), (6, 7, 12)),
}


def layer_and_input(kind: str) -> tuple[nn.Layer, paddle.Tensor]:
    paddle.seed(0)
    make, shape = LAYERS[kind]
    layer = make()
    # Neighbours are alike, as pixels are.
    return layer, paddle.cumsum(paddle.randn(shape), axis=-1) * 0.3


@pytest.mark.parametrize("kind", LAYERS)
def test_patches_times_weights_are_the_output(kind: str) -> None:
    """A layer's output is the product of what its weights see with its weights, whatever the layer is."""
    layer, x = layer_and_input(kind)
    axis = output_axis(layer)
    weight = as_rows(layer.weight.numpy(), axis)
    seen = patches(layer, x).numpy()
    groups = getattr(layer, "_groups", 1)
    share = input_channels(layer) // groups
    parts = []
    for group in range(groups):
        inputs = seen[:, group * share : (group + 1) * share].reshape(len(seen), -1)
        if is_transposed(layer):
            own = weight[:, group * inputs.shape[1] : (group + 1) * inputs.shape[1]]
        else:
            own = weight.reshape(groups, -1, weight.shape[1])[group]
        parts.append(inputs @ own.T)
    output = layer(x) - (0 if layer.bias is None else layer(paddle.zeros_like(x)))
    if getattr(layer, "_channel_dim", -1) == 1:
        output = paddle.moveaxis(output, 1, -1)
    expected = output.numpy().reshape(len(seen), -1)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=1e-4)


def errors(layer: nn.Layer, x: paddle.Tensor, values: np.ndarray) -> float:
    """Squared error of the output with other weights."""
    exact, original = layer(x), layer.weight.numpy()
    layer.weight.set_value(values)
    found = float((layer(x) - exact).square().sum())
    layer.weight.set_value(original)
    return found


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("group", [None, 4])
def test_gptq_serves_every_kind_of_layer(kind: str, group: int | None) -> None:
    """Its weight is on the grid that the edit states, and the output changes no more than with nearest codes."""
    layer, x = layer_and_input(kind)
    edit = Quantize(layer="it", bits=4, axis=output_axis(layer), group=group)
    found = weight_rounding.round_by_gptq(layer, edit, [x[:3], x[3:]], False, ["mse"], 0.01, False)
    nearest = quantize_weight(layer.weight.numpy(), 4, edit.axis, group)
    assert found.codes.shape == tuple(layer.weight.shape)
    assert found.scale.shape == nearest.scale.shape
    assert errors(layer, x, found.values()) <= errors(layer, x, nearest.values()) * 1.001


@pytest.mark.parametrize("kind", ["conv", "depthwise", "transposed", "channels last", "dense over sequences"])
@pytest.mark.parametrize("bits", [4, 1])
def test_adaround_serves_every_kind_of_layer(kind: str, bits: Literal[4, 1]) -> None:
    """The output changes less than with nearest codes."""
    layer, x = layer_and_input(kind)
    edit = Quantize(layer="it", bits=bits, axis=output_axis(layer))
    pairs = [(part, layer(part).detach()) for part in (x[:3], x[3:])]
    found = weight_rounding.round_by_adaround(layer, edit, pairs, False, ["mse"], Settings(steps=150, batch_size=8))
    nearest = quantize_weight(layer.weight.numpy(), bits, edit.axis)
    assert errors(layer, x, found.values()) < errors(layer, x, nearest.values())


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("method", ["nearest", "gptq", "adaround"])
@pytest.mark.parametrize("per_tensor", [False, True])
def test_of_several_ranges_the_one_that_suits_the_outputs(kind: str, method: str, per_tensor: bool) -> None:
    """The output changes no more than with any one of them, and each output of a layer has its own choice."""
    layer, x = layer_and_input(kind)
    edit = Quantize(layer="it", bits=4, axis=None if per_tensor else output_axis(layer))

    def rounded(*covers: Cover) -> Quantized:
        if method == "nearest":
            return weight_rounding.round_to_nearest(layer, edit, [x], False, covers)
        if method == "gptq":
            return weight_rounding.round_by_gptq(layer, edit, [x], False, covers, 0.01, False)
        settings = Settings(steps=20, batch_size=4)
        return weight_rounding.round_by_adaround(layer, edit, [(x, layer(x).detach())], False, covers, settings)

    each = {cover: errors(layer, x, rounded(cover).values()) for cover in COVERS}
    chosen = rounded(*COVERS)
    assert errors(layer, x, chosen.values()) <= min(each.values()) * 1.001
    assert chosen.scale.shape == rounded("max").scale.shape
    np.testing.assert_array_equal(rounded(*COVERS[::-1]).values(), chosen.values())


def test_a_wide_layer_is_rounded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the largest Hessian, runs of whole groups are rounded each by itself."""
    layer, x = layer_and_input("conv")
    monkeypatch.setattr(input_products, "LARGEST_HESSIAN", 20)
    edit = Quantize(layer="it", bits=4, axis=0, group=6)
    found = weight_rounding.round_by_gptq(layer, edit, [x], False, ["mse"], 0.01, False)
    nearest = quantize_weight(layer.weight.numpy(), 4, 0, 6)
    assert errors(layer, x, found.values()) < errors(layer, x, nearest.values())


def test_layers_are_watched_in_the_order_in_which_they_run() -> None:
    """A layer that runs twice is seen twice, one that never runs is not, and the one a norm follows is known."""

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.twice, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.norm = nn.BatchNorm1D(4)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return self.norm(self.last(self.twice(self.twice(x))))

    network = Net()
    network.eval()
    layers = {name: layer for name, layer in network.named_children() if isinstance(layer, nn.Linear)}
    inputs = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    found = trace_forward(network, layers, inputs[:1])
    assert found.calls == {"twice": 2, "last": 1}
    assert found.norms == {"last": network.norm}
    seen = list(layer_inputs(network, network.twice, 2, inputs, batch_size=6))
    assert [tuple(one.shape) for one in seen] == [(6, 4), (6, 4), (4, 4), (4, 4)]
    np.testing.assert_array_equal(seen[1].numpy(), network.twice(seen[0]).numpy())
    assert not any(layer._forward_pre_hooks or layer._forward_post_hooks for layer in network.sublayers())
