"""Forward passes that stop at layers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddlepress.core.errors import DataError
from paddlepress.forward.stepping import stepping

INPUTS = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)


def network() -> nn.Sequential:
    paddle.seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def linear(model: nn.Layer) -> dict[str, nn.Layer]:
    return {name: layer for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}


def test_passes_stop_before_each_layer_in_turn() -> None:
    """Each batch waits before the same layer, with what it is about to receive."""
    model = network()
    seen = [(name, [tuple(x.shape) for x in given]) for name, given in stepping(model, linear(model), INPUTS, 4)]
    assert seen == [(name, [(4, 4), (4, 4), (2, 4)]) for name in ("0", "2", "4")]


def test_what_is_changed_while_they_wait_counts_from_there_on() -> None:
    """The third layer receives what the changed first one gives; the whole costs one run of each layer a batch."""
    model, runs = network(), Counter[str]()
    for name, layer in linear(model).items():
        layer.register_forward_post_hook(lambda *_, name=name: runs.update([name]))
    received = {}
    for name, given in stepping(model, linear(model), INPUTS, 4):
        received[name] = np.concatenate([x.numpy() for x in given])
        if name == "0":
            model[0].weight.set_value(np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(received["2"], INPUTS + model[0].bias.numpy(), atol=1e-6)
    assert runs == {"0": 3, "2": 3, "4": 3}


def test_in_between_the_caller_has_gradients_and_the_network_has_none() -> None:
    """Learning something about a layer while passes wait is possible, and its mode is as before afterwards."""
    model = network()
    model.train()
    for name, given in stepping(model, linear(model), INPUTS):
        assert paddle.is_grad_enabled() and not model.training
        assert all(x.stop_gradient for x in given)
        loss = linear(model)[name](given[0]).square().mean()
        assert not loss.stop_gradient
    assert paddle.is_grad_enabled() and model.training


def test_passes_that_are_given_up_leave_nothing_behind() -> None:
    """Hooks are gone and gradients are on when only some layers were looked at, and after an error in a network."""
    model = network()
    for _ in stepping(model, linear(model), INPUTS, 4):
        break
    assert paddle.is_grad_enabled()
    assert not any(layer._forward_pre_hooks for layer in linear(model).values())

    class Broken(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.first(x) @ paddle.ones([3, 3])

    broken = Broken()
    with pytest.raises(ValueError, match=r"(?i)dimension|shape|match"):
        list(stepping(broken, {"first": broken.first}, INPUTS, 4))
    assert paddle.is_grad_enabled()
    assert not broken.first._forward_pre_hooks


def test_an_order_that_depends_on_the_data_is_refused() -> None:
    """Batches that run different layers next can't be worked on together."""

    class Either(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.one(x) if float(x[0, 0]) > 0 else self.other(x)

    model, inputs = Either(), INPUTS.copy()
    inputs[:5, 0], inputs[5:, 0] = 1, -1
    with pytest.raises(DataError, match="one and others other"):
        list(stepping(model, {"one": model.one, "other": model.other}, inputs, 5))
