"""What is exported computes what the Paddle network computes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import digits_models
import numpy as np
import onnx
import pytest

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import ArtifactError, TechniqueRefused
from paddlepress.data import Split
from paddlepress.deployment import bundle
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.architectures import vision
from paddlepress.network.edits import Quantize, find
from paddlepress.network.inserted_layers import LowRankLinear
from paddlepress.network.model import Model

compute.prepare()
import paddle  # noqa: E402
from own_networks import SHAPE, as_model  # noqa: E402
from paddle import nn  # noqa: E402

Deploy = Callable[..., Path]


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("lenet", (1, 28, 28)),
        ("lenet-300-100", (1, 28, 28)),
        ("lenet5-caffe", (1, 28, 28)),
        ("vision/resnet18", (3, 32, 32)),
        ("vision/mobilenet_v2", (3, 64, 64)),
    ],
)
def test_any_architecture_gives_the_networks_logits(architecture: str, shape: tuple[int, ...], deploy: Deploy) -> None:
    """The deployed model's logits are the Paddle network's to 1e-4, at any batch size."""
    inputs = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
    model = digits_models.settle(digits_models.build(architecture, shape), inputs)
    expected = model.predict(inputs)
    predictor = Predictor.load(deploy(model))
    assert np.abs(expected - expected.mean(0)).max() > 0.01
    np.testing.assert_allclose(predictor.predict(inputs), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(predictor.predict(inputs, batch_size=5), expected, rtol=0, atol=1e-4)


def test_the_graph_holds_no_weights(lenet: Model, deploy: Deploy) -> None:
    """Every parameter is an external initializer under its structured name, and the graph is small."""
    deployable = deploy(lenet)
    found = bundle.read(deployable)
    graph = onnx.ModelProto.FromString(found.graph).graph
    external = {t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    assert external == set(lenet.state())
    assert len(found.graph) < 4000
    assert sorted(path.name for path in deployable.iterdir()) == sorted(bundle.FILES)


def test_text_is_compressed(lenet_int8: Model, deploy: Deploy) -> None:
    """The graph and the manifest take a third of their text, and the weights file no more than the artifact's."""
    deployable = deploy(lenet_int8)
    graph, weights, manifest = ((deployable / name).read_bytes() for name in bundle.FILES)
    assert len(gzip.decompress(graph)) > 3 * len(graph) and len(gzip.decompress(manifest)) > 2 * len(manifest)
    whole = (deployable.parent / "artifact" / "weights.safetensors").read_bytes()
    assert gzip.decompress(weights) == whole
    assert len(whole) - len(weights) > 0.5 * store.header_bytes(whole)


def test_a_sparse_model_keeps_its_logits_and_its_size(
    lenet: Model, digits: tuple[Split, Split], deploy: Deploy
) -> None:
    """Zeros are stored compactly in what is deployed, and cost no precision."""
    sparse = digits_models.sparsified(lenet, 0.9)
    deployable = deploy(sparse)
    np.testing.assert_allclose(
        Predictor.load(deployable).predict(digits[1].inputs), sparse.predict(digits[1].inputs), atol=1e-4
    )
    dense = sum(value.nbytes for value in lenet.state().values())
    assert sum(path.stat().st_size for path in deployable.iterdir()) < dense / 5


def test_float16_weights_are_widened(lenet: Model, digits: tuple[Split, Split], deploy: Deploy) -> None:
    """A layer stored as float16 is deployed from those bytes and computes with float32."""
    half = lenet.copy()
    weight = find(half.network, "fc1").weight
    weight.set_value(weight.numpy().astype(np.float16).astype(np.float32))
    half = half.with_edits(Quantize(layer="fc1", bits=16))
    deployable = deploy(half)
    np.testing.assert_allclose(
        Predictor.load(deployable).predict(digits[1].inputs), half.predict(digits[1].inputs), atol=1e-4
    )


def test_a_factorized_layer_is_deployed_as_two(lenet: Model, digits: tuple[Split, Split], deploy: Deploy) -> None:
    """Edits are part of the exported graph."""
    from paddlepress.network.edits import Factorize, replace

    low = lenet.copy()
    replace(low.network, "fc1", LowRankLinear.in_place_of(find(low.network, "fc1"), 8))
    low = low.with_edits(Factorize(layer="fc1", rank=8))
    inputs = digits[1].inputs[:20]
    np.testing.assert_allclose(Predictor.load(deploy(low)).predict(inputs), low.predict(inputs), atol=1e-4)


def test_a_network_that_was_traced_and_hooked_exports_unrounded(lenet_int8: Model, deploy: Deploy) -> None:
    """Exporting twice gives the same graph, and leaves the model's simulated rounding on."""
    inputs = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
    before = lenet_int8.predict(inputs)
    first, second = deploy(lenet_int8, "first"), deploy(lenet_int8, "second")
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in bundle.FILES)
    assert np.array_equal(lenet_int8.predict(inputs), before)


def test_nothing_is_printed(lenet: Model, deploy: Deploy, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Paddle nor paddle2onnx talks past the user while exporting."""
    deploy(lenet)
    assert capfd.readouterr() == ("", "")


class Branching(nn.Layer):
    """Takes one of two convolutions, and a dense layer as often as a number says that is not known before."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2D(1, 4, 3), nn.Conv2D(1, 4, 3), nn.Linear(144, 144)

    def forward(self, x: Any) -> Any:
        if x.max([0, 1, 2, 3]) > 100:
            y = self.first(x)
        else:
            y = self.second(x) + self.first(x)
        y = nn.functional.leaky_relu(y.flatten(1), 0.3)
        count = paddle.zeros([1], "int64")
        while count < 3:
            y = paddle.tanh(self.fc(y))
            count = count + 1
        return y


@pytest.mark.parametrize("factor", [1, 1000], ids=["one branch", "the other"])
def test_branches_and_loops(factor: int, monkeypatch: pytest.MonkeyPatch, deploy: Deploy) -> None:
    """What a branch or a loop takes from outside of it is there, whatever the graph around them becomes."""
    model = as_model(Branching, monkeypatch)
    inputs = factor * np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(Predictor.load(deploy(model)).predict(inputs), model.predict(inputs), atol=1e-4)


def test_another_models_artifact_is_refused(lenet: Model, tmp_path: Path) -> None:
    """A model can't be exported with weights that are not its own."""
    store.save(digits_models.build("lenet", (1, 8, 8)), tmp_path / "other")
    with pytest.raises(ArtifactError, match="holds another model"):
        export(lenet, tmp_path / "other", tmp_path / "deployable")
    assert not (tmp_path / "deployable").exists()


def test_an_operator_without_onnx_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that can't be converted is refused with its operators; the process lives on."""

    class Odd(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return paddle.linalg.svd(self.fc(x.flatten(1)))[1]

    monkeypatch.setattr(vision, "names", lambda: ("odd",))
    monkeypatch.setattr(vision, "architecture", lambda name: lambda inputs, task: Odd())
    model = digits_models.build("vision/odd", (1, 2, 2))
    store.save(model, tmp_path / "artifact")
    with pytest.raises(TechniqueRefused, match=r"'vision/odd' can't be deployed: .*svd"):
        export(model, tmp_path / "artifact", tmp_path / "deployable")
