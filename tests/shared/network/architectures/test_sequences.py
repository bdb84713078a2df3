"""The vision transformer and the LSTM classifier."""

from __future__ import annotations

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.core.errors import DataError, UsageError
from paddlepress.data import Dataset
from paddlepress.forward.score import score
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.testing import digits
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings

compute.prepare()


def build(name: str, shape: tuple[int, ...], **arguments: object) -> Model:
    reference = ArchitectureRef(name=name, arguments=arguments)  # type: ignore[arg-type]
    return Model.build(reference, (TensorSpec(name="x", shape=shape),), Classification(classes=("a", "b", "c")))


@pytest.mark.parametrize(
    ("name", "arguments", "epochs"), [("vit", {"depth": 1, "width": 32}, 6), ("lstm", {"hidden": 64}, 6)]
)
def test_trained_on_digits(name: str, arguments: dict[str, object], epochs: int) -> None:
    """Both learn to tell scikit-learn's digits apart."""
    data: Dataset = digits()
    settings = TrainingSettings(epochs=epochs, batch_size=32, learning_rate=5e-3)
    model = train_base(ArchitectureRef(name=name, arguments=arguments), data, settings)  # type: ignore[arg-type]
    assert score(model.network, model.task, data.split("test")) > 90


def test_their_sizes() -> None:
    """Parameters as counted by hand."""
    vit = build("vit", (1, 8, 12), patch=4, width=8, depth=3, heads=2, mlp_ratio=1.5)
    block = 4 * (8 * 8 + 8) + (8 * 12 + 12) + (12 * 8 + 8) + 2 * 16
    assert sum(p.size for p in vit.network.parameters()) == (16 * 8 + 8) + 8 + 7 * 8 + 3 * block + 16 + (8 * 3 + 3)
    lstm = build("lstm", (2, 5, 4), hidden=6, layers=2)
    gates = 4 * (6 * 8 + 6 * 6 + 2 * 6) + 4 * (6 * 6 + 6 * 6 + 2 * 6)
    assert sum(p.size for p in lstm.network.parameters()) == gates + 6 * 3 + 3


def test_an_image_is_read_by_rows() -> None:
    """An image gives what the sequence of its rows gives, all channels of a row side by side."""
    image, sequence = build("lstm", (2, 5, 4), hidden=6), build("lstm", (5, 8), hidden=6)
    sequence.load_state(image.state())
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype(np.float32)
    rows = np.ascontiguousarray(x.transpose(0, 2, 1, 3).reshape(3, 5, 8))
    np.testing.assert_allclose(image.predict(x), sequence.predict(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("vit", {"width": 30, "heads": 4}, "width is 30; it must be a multiple of heads, which is 4"),
        ("vit", {"depth": 0}, "depth is 0; it must be a whole number from 1 to 256"),
        ("vit", {"patch": 2.5}, "patch is 2.5"),
        ("vit", {"heads": True}, "heads is True"),
        ("vit", {"mlp_ratio": 0}, "mlp_ratio is 0"),
        ("lstm", {"hidden": "64"}, "hidden is '64'"),
        ("lstm", {"layers": 65}, "layers is 65"),
        ("mlp", {"hidden": 64}, "hidden is 64; it must be a list"),
        ("mlp", {"hidden": [64, 0]}, "hidden is 0; it must be a whole number from 1"),
    ],
)
def test_bad_arguments(name: str, arguments: dict[str, object], words: str) -> None:
    """A value that an architecture does not take is named with those that it does."""
    with pytest.raises(UsageError, match=words):
        build(name, (1, 8, 8), **arguments)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("vit", (1, 10, 8), "10x8 can't be parted into patches of 4x4"),
        ("vit", (8, 8), "one image"),
        ("lstm", (8,), "one sequence"),
    ],
)
def test_inputs_that_do_not_fit(name: str, shape: tuple[int, ...], words: str) -> None:
    """The message has the shape of the data and what the architecture takes."""
    with pytest.raises(DataError, match=words):
        build(name, shape)


def test_whole_numbers_that_json_made_floats() -> None:
    """4.0 is 4."""
    assert build("lstm", (8, 8), hidden=4.0).network.lstm.hidden_size == 4


def test_googlenet_has_one_output() -> None:
    """Auxiliary classifiers are left out, in training too, so that any size of image fits."""
    model = build("vision/googlenet", (3, 64, 64))
    assert model.predict(np.zeros((2, 3, 64, 64), np.float32)).shape == (2, 3)
    model.network.train()
    assert not any("o1" in name or "out1" in name for name in model.state())
