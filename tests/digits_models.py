"""Small trained models that tests of deployment and evaluation share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from paddlepress.core import compute
from paddlepress.data import Split
from paddlepress.network.edits import Quantize, find
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import Quantized, spread_scale
from paddlepress.tasks import Classification

CLASSES = tuple(str(digit) for digit in range(10))


def build(architecture: str, shape: tuple[int, ...], **arguments: Any) -> Model:
    """A model with fresh weights, always the same."""
    compute.prepare()
    compute.seed_everything(0)
    return Model.build(
        ArchitectureRef(name=architecture, arguments=arguments),
        (TensorSpec(name="image", shape=shape),),
        Classification(classes=CLASSES),
    )


def digits() -> tuple[Split, Split]:
    """scikit-learn's 8x8 digits: 1,297 to train on and 500 to test on."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[:, None] / 16 - 0.3).astype(np.float32)
    labels = data.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    return Split(images[order[500:]], labels[order[500:]]), Split(images[order[:500]], labels[order[:500]])


def train(model: Model, data: Split, epochs: int = 6) -> Model:
    """Train in place with Adam; seconds for LeNet on the digits."""
    import paddle
    import paddle.nn.functional as F

    optimizer = paddle.optimizer.Adam(2e-3, parameters=model.network.parameters())
    model.network.train()
    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(len(data))
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            logits = model.network(paddle.to_tensor(data.inputs[chosen]))
            F.cross_entropy(logits, paddle.to_tensor(data.labels[chosen])).backward()
            optimizer.step()
            optimizer.clear_grad()
    model.network.eval()
    return model


def settle(model: Model, inputs: np.ndarray) -> Model:
    """Give the batch normalizations of a fresh model factors of both signs, and statistics that fit."""
    import paddle

    random = np.random.default_rng(1)
    for layer in model.network.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            size = layer.weight.shape
            layer.weight.set_value((random.choice([-1, 1], size) * random.uniform(0.5, 1.5, size)).astype(np.float32))
            layer.bias.set_value(random.uniform(-0.5, 0.5, size).astype(np.float32))
            layer._momentum = 0.0  # the next batch's statistics become the running ones
    model.network.train()
    with warnings.catch_warnings(), paddle.no_grad():
        warnings.simplefilter("ignore")
        model.network(paddle.to_tensor(inputs))
    model.network.eval()
    return model


def sparsified(model: Model, share: float) -> Model:
    """A copy whose smallest weights are zero."""
    twin = model.copy()
    for parameter in twin.network.parameters():
        value = parameter.numpy()
        if value.ndim >= 2:
            threshold = np.quantile(np.abs(value), share)
            parameter.set_value(np.where(np.abs(value) <= threshold, 0, value).astype(np.float32))
    return twin


def quantized(model: Model, inputs: np.ndarray, *, activations: bool = True) -> Model:
    """A copy with 8-bit weights per output channel, and 8-bit inputs by their range over `inputs`."""
    import paddle

    from paddlepress.network.inserted_layers import simulate_quantized_input

    twin = model.copy()
    names = [n for n, each in twin.network.named_sublayers() if isinstance(each, paddle.nn.Conv2D | paddle.nn.Linear)]
    ranges: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def hook(layer: Any, arguments: Any) -> None:
            value = arguments[0].numpy()
            ranges[name] = (min(0.0, float(value.min())), max(1e-6, float(value.max())))

        return find(twin.network, name).register_forward_pre_hook(hook)

    hooks = [watch(name) for name in names]
    twin.predict(inputs)
    for hook in hooks:
        hook.remove()
    edits = []
    for name in names:
        layer = find(twin.network, name)
        weight = layer.weight.numpy()
        axis = 0 if weight.ndim == 4 else 1
        others = tuple(i for i in range(weight.ndim) if i != axis)
        # 7 bits: on processors without VNNI products of 8-bit integers saturate.
        scale = np.maximum(np.abs(weight).max(others) / 63, 1e-8).astype(np.float32)
        codes = np.rint(weight / spread_scale(scale, axis, weight.shape)).astype(np.int8)
        layer.weight.set_value(Quantized(codes=codes, scale=scale, axis=axis).values())
        twin.scales[f"{name}.weight"] = scale
        step = (ranges[name][1] - ranges[name][0]) / 255
        grid = {"input_scale": step, "input_zero_point": round(-ranges[name][0] / step)} if activations else {}
        if activations:
            simulate_quantized_input(layer, step, grid["input_zero_point"])
        edits.append(Quantize(layer=name, bits=8, axis=axis, reduce_range=True, **grid))
    return twin.with_edits(*edits)


def rounded_between(model: Model, inputs: np.ndarray) -> Model:
    """A copy of a quantized model that rounds what its layers give each other for all, by its range over `inputs`."""
    from paddlepress.core.progress import Silent
    from paddlepress_components.quantization.shared_activation_grids import grids, ranges_at, regions_of

    twin = model.copy()
    edits = {edit.layer: edit for edit in twin.quantized().values() if edit.input_scale is not None}
    regions = regions_of(twin, edits, True, Silent())
    seen = {
        name: (-edit.input_zero_point * edit.input_scale, (255 - edit.input_zero_point) * edit.input_scale)
        for name, edit in edits.items()
    }
    found = ranges_at(twin, regions, inputs, lambda values: (float(values.min()), float(values.max())))
    inner, outputs = grids(regions, seen, found)
    settled = [
        edits[name].model_copy(update={"input_scale": scale, "input_zero_point": zero_point})
        for name, (scale, zero_point) in inner.items()
    ]
    for edit in (*settled, *outputs):
        edit.replay(twin.network)
    return twin.with_edits(*settled, *outputs)
