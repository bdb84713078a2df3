"""Weights under weight or spectral normalization become plain ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import ArtifactError
from paddlepress.network import architectures, parametrization
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402
from paddle.nn.utils import spectral_norm, weight_norm  # noqa: E402


def _network() -> nn.Layer:
    """Three weights under normalization, along different axes, and one that is plain."""
    paddle.seed(3)
    return nn.Sequential(
        ("first", weight_norm(nn.Conv2D(1, 6, 3))),
        ("second", spectral_norm(nn.Conv2D(6, 4, 3))),
        ("flat", nn.Flatten()),
        ("third", weight_norm(nn.Linear(64, 8), dim=1)),
        ("fourth", spectral_norm(nn.Linear(8, 8), dim=1)),
        ("last", nn.Linear(8, 3)),
    )


def _trained() -> nn.Layer:
    """The network as a training leaves it: none of its parameters is what it was."""
    network = _network()
    random = np.random.default_rng(0)
    for tensor in network.state_dict().values():
        tensor.set_value(tensor.numpy() + random.uniform(0, 0.3, tensor.shape).astype(np.float32))
    network.train()
    network(paddle.to_tensor(_inputs()))  # spectral norm makes a step of its power iteration in training
    network.eval()
    return network


def _inputs() -> Any:
    return np.random.default_rng(1).normal(size=(5, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Model]:
    monkeypatch.setattr(architectures, "build", lambda *given: _network())
    inputs = (TensorSpec(name="x", shape=(1, 8, 8)),)
    return lambda: Model.build(ArchitectureRef(name="own"), inputs, Classification(classes=("a", "b", "c")))


def test_a_built_network_has_plain_weights(build: Callable[[], Model]) -> None:
    """Names are those of the layers without normalization, and what the network computes stays."""
    model, original = build(), _network()
    original.eval()
    layers = [name for name, layer in original.named_sublayers() if hasattr(layer, "weight")]
    assert set(model.state()) == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}
    assert [name for name, _ in model.network.named_parameters()] == list(dict(model.network.state_dict()))
    np.testing.assert_allclose(model.predict(_inputs()), original(paddle.to_tensor(_inputs())).numpy(), atol=1e-6)


def test_a_trained_state_is_folded(build: Callable[[], Model]) -> None:
    """What Paddle saved of a network under normalization becomes the weights that it computes with."""
    trained, model = _trained(), build()
    state = {name: np.asarray(tensor.numpy()) for name, tensor in trained.state_dict().items()}
    assert {"first.weight_g", "second.weight_u"} <= state.keys()
    model.load_state(state)
    np.testing.assert_allclose(model.predict(_inputs()), trained(paddle.to_tensor(_inputs())).numpy(), atol=1e-5)
    twin = model.copy()
    assert twin.digest() == model.digest()


def test_a_state_that_does_not_fit_is_refused(build: Callable[[], Model]) -> None:
    """A parameter of another shape is named, as is one that is missing."""
    state = {name: np.asarray(tensor.numpy()) for name, tensor in _trained().state_dict().items()}
    with pytest.raises(ArtifactError, match=r"first\.weight_g has shape \(2,\), the network needs \(6,\)"):
        build().load_state({**state, "first.weight_g": np.ones(2, np.float32)})
    del state["first.weight_g"]
    with pytest.raises(ArtifactError, match=r"no weights for first\.weight"):
        build().load_state(state)


def test_plain_weights_train(build: Callable[[], Model]) -> None:
    """A weight that was folded is a parameter with a gradient like any other."""
    model = build()
    model.network.train()
    model.network(paddle.to_tensor(_inputs())).sum().backward()
    weights = [p for name, p in model.network.named_parameters() if name.endswith("weight")]
    assert all(weight.trainable and np.abs(weight.grad.numpy()).sum() > 0 for weight in weights)


def test_an_artifact_of_before_is_folded(
    build: Callable[[], Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that holds what weights were computed from loads, and predicts as it did."""
    with monkeypatch.context() as patch:
        patch.setattr(parametrization, "remove", lambda network: ())
        before = build()
        before.load_state({name: np.asarray(tensor.numpy()) for name, tensor in _trained().state_dict().items()})
        assert "first.weight_g" in before.state()
        store.save(before, tmp_path / "before")
    loaded = store.load(tmp_path / "before")
    assert "first.weight" in loaded.state()
    np.testing.assert_allclose(loaded.predict(_inputs()), before.predict(_inputs()), atol=1e-5)
