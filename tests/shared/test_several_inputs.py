"""A network of an image, a text and numbers, from training to what is deployed of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from paddlepress import testing  # noqa: F401 -- prepares Paddle before anything imports it
from paddlepress.artifact import store
from paddlepress.core.errors import DataError, UsageError
from paddlepress.data.memory import Data, from_arrays
from paddlepress.deployment import single_onnx_file
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.tensors import NamedArrays
from paddlepress.techniques import Context, run, technique
from paddlepress.testing import size_of
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings

IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from paddlepress.deployment.predictor import Predictor
raw = dict(np.load(sys.argv[2]))
raw["image"] = raw["image"].astype(np.uint8)
np.save(sys.argv[3], Predictor.load(Path(sys.argv[1])).predict(raw))
assert "paddle" not in sys.modules
"""


@pytest.fixture(scope="module")
def data() -> Data:
    """scikit-learn's digits: the picture, in words whether it is even, and how much ink its quarters have."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * 15).astype(np.uint8)
    words = np.array([f"an {'even' if digit % 2 == 0 else 'odd'} digit" for digit in found.target])
    quarters = [pixels[:, top : top + 4, left : left + 4].mean((1, 2)) for top in (0, 4) for left in (0, 4)]
    return from_arrays({"image": pixels, "note": words, "ink": np.stack(quarters, 1)}, found.target)


@pytest.fixture(scope="module")
def model(data: Data) -> Model:
    """The built-in network of several inputs, trained for a few epochs."""
    reference = ArchitectureRef(name="late-fusion", arguments={"filters": [16, 32], "embedding": 8, "features": 16})
    settings = TrainingSettings(
        epochs=6, batch_size=32, learning_rate=0.003, augmentation=[{"crop": {"padding": 1}}, {"cutout": {"size": 2}}]
    )
    return train_base(reference, data.learning.through(data.learning.statistics), settings)


def context(model: Model, data: Data) -> Context:
    splits = data.learning.for_model(model).splits
    return Context(base=model, **{name: splits[name] for name in ("train", "validation", "calibration")})  # type: ignore[arg-type]


Deploy = Callable[[Model], Path]


@pytest.fixture
def deploy(data: Data, tmp_path: Path) -> Deploy:
    """Writes artifact and deployable of a model; gives the latter."""

    def write(made: Model) -> Path:
        folder = tmp_path / made.digest()[:8]
        store.save(made, folder / "model")
        validation = data.learning.for_model(made).split("validation")
        export(made, folder / "model", folder / "deployable", validation.inputs)
        return folder / "deployable"

    return write


def accuracy(deployable: Path, data: Data) -> float:
    test = data.test.split("test")
    return float(100 * (Predictor.load(deployable).predict(test.inputs).argmax(1) == test.labels).mean())


def test_a_network_learns_from_all_of_its_inputs(model: Model, data: Data) -> None:
    """It is far better than guessing, and without what one input says it is worse."""
    test = data.test.through(data.learning.statistics).split("test")
    assert isinstance(test.inputs, NamedArrays)
    whole = model.task.score(model.predict(test.inputs), test.labels).value
    assert whole > 90
    for name in ("image", "note"):
        arrays = {**test.inputs.arrays, name: np.zeros_like(test.inputs.arrays[name][:])}
        assert model.task.score(model.predict(NamedArrays(arrays)), test.labels).value < whole - 5, name


def test_a_deployable_takes_what_the_data_hold_by_name(model: Model, data: Data, deploy: Deploy) -> None:
    """Bytes, words and numbers as they are, in whatever order they are named; as Paddle's network computes it."""
    predictor, test = Predictor.load(deploy(model)), data.test.split("test")
    assert isinstance(test.inputs, NamedArrays)
    raw = {name: test.inputs.arrays[name][:20] for name in ("ink", "note", "image")}
    expected = model.predict(model.prepare(test.inputs[:20]))
    np.testing.assert_allclose(predictor.predict(raw), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert predictor.predict(raw, batch_size=7).shape == (20, 10)
    assert predictor.predict({name: array[:0] for name, array in raw.items()}).shape == (0, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["image"], "one array is given; the model takes image, note, ink, each by its name"),
        (lambda raw: {**raw, "imag": raw["image"]}, "unknown input 'imag'. Did you mean 'image'"),
        (lambda raw: {"image": raw["image"]}, "no inputs of note, ink; the model takes image, note, ink"),
        (lambda raw: {**raw, "ink": raw["ink"][:2]}, "there are 5 of 'image', 5 of 'note', 2 of 'ink'"),
        (
            lambda raw: {**raw, "ink": raw["ink"][:, :3]},
            r"inputs of 'ink' have shape \(5, 3\); the model takes \[n, 4\]",
        ),
        (lambda raw: {**raw, "image": raw["image"] / 255}, "inputs of 'image' are float64; the model takes uint8"),
        (
            lambda raw: {**raw, "note": np.array(["even", None, np.nan, "a", "b"], object)},
            "hold None, which is no text .2",
        ),
        (lambda raw: {**raw, "note": np.arange(5)}, "inputs of 'note' are int64; the model takes text"),
    ],
)
def test_wrong_inputs_are_named(change: Any, message: str, model: Model, data: Data, deploy: Deploy) -> None:
    """An input that is missing, unknown, of another form or of fewer examples is told by its name."""
    inputs = data.test.split("test").inputs
    assert isinstance(inputs, NamedArrays)
    raw = {name: array[:5] for name, array in inputs.arrays.items()}
    with pytest.raises(UsageError, match=message):
        Predictor.load(deploy(model)).predict(change(raw))


STUDENT = {
    "student": "late-fusion",
    "student_arguments": {"filters": [8, 16], "embedding": 4, "features": 8, "hidden": 32},
}


@pytest.mark.parametrize(
    ("name", "fields", "smaller", "drop"),
    [
        ("prune-filters", {"ratio": 0.5, "recovery_epochs": 2, "recovery_batch_size": 32}, 1.3, 12),
        ("prune-neurons", {"ratio": 0.4, "recovery_epochs": 2, "recovery_batch_size": 32}, 1.1, 12),
        ("prune-weights", {"sparsity": 0.6, "recovery_epochs": 1, "recovery_batch_size": 32}, 1.5, 10),
        ("quantize-post-training", {}, 2.2, 2),
        ("quantize-mixed", {}, 2.2, 3),
        ("share-weights", {"recovery_epochs": 0}, 2.5, 4),
        ("quantize-aware-training", {"recovery_epochs": 1}, 2.2, 3),
        (
            "distill-offline",
            {**STUDENT, "epochs": 8, "batch_size": 32},
            1.5,
            20,
        ),
    ],
)
def test_techniques_take_several_inputs(
    name: str, fields: dict[str, Any], smaller: float, drop: float, model: Model, data: Data, deploy: Deploy
) -> None:
    """What is deployed of the compressed network has fewer bytes and is about as good on test data."""
    base = deploy(model)
    small = deploy(run(technique(name, fields), model, context(model, data)))
    assert size_of(base) / size_of(small) > smaller
    assert accuracy(small, data) > accuracy(base, data) - drop


def test_an_artifact_keeps_the_preprocessing_of_each(model: Model, tmp_path: Path) -> None:
    """Mean, deviation and table come back to the last bit, and a network built anew knows its vocabulary."""
    store.save(model, tmp_path / "model")
    again = store.load(tmp_path / "model")
    assert again.preprocessing == model.preprocessing and again.digest() == model.digest()
    assert [spec.vocabulary for spec in again.inputs] == [None, 6, None]


def test_one_file_of_onnx_takes_each_input_by_name(model: Model, data: Data, deploy: Deploy, tmp_path: Path) -> None:
    """Preprocessing of numbers is inside; of text its table is in the metadata, and its places are what goes in."""
    deployable, test = deploy(model), data.test.split("test")
    path = single_onnx_file.write(deployable, tmp_path / "out", {"name": "digits"})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert isinstance(test.inputs, NamedArrays) and model.preprocessing is not None
    raw = {name: array[:9] for name, array in test.inputs.arrays.items()}
    fed = {"image": raw["image"], "ink": raw["ink"], "note": model.preprocessing.of("note").apply(raw["note"])}
    (found,) = session.run(["logits"], fed)
    np.testing.assert_allclose(found, Predictor.load(deployable).predict(raw), rtol=0, atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"])
    assert set(about["note"]["vocabulary"]) == {"an", "digit", "odd", "even"}


def test_a_fresh_process_predicts_the_same(model: Model, data: Data, deploy: Deploy, tmp_path: Path) -> None:
    """Nothing but the deployable goes there, and Paddle is not imported."""
    deployable, inputs = deploy(model), data.test.split("test").inputs
    assert isinstance(inputs, NamedArrays)
    np.savez(tmp_path / "raw.npz", **{name: np.array(array[:6].tolist()) for name, array in inputs.arrays.items()})
    command = [
        sys.executable,
        "-c",
        IN_A_FRESH_PROCESS,
        str(deployable),
        str(tmp_path / "raw.npz"),
        str(tmp_path / "found.npy"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), Predictor.load(deployable).predict(inputs[:6]))


def test_a_model_names_the_input_that_it_lacks(model: Model, data: Data) -> None:
    """In a notebook too: a mapping is taken by name, and what is missing or unknown is told."""
    raw = {name: array[:3] for name, array in data.test.split("test").inputs.arrays.items()}  # type: ignore[union-attr]
    assert len(model.prepare(raw)) == 3
    with pytest.raises(DataError, match="no inputs of ink; the model takes image, note, ink"):
        model.prepare({"image": raw["image"], "note": raw["note"]})
    with pytest.raises(UsageError, match=r"unknown input 'notes'\. Did you mean 'note'"):
        model.prepare({**raw, "notes": raw["note"]})


def test_preprocessing_of_one_input_does_not_fit_several(model: Model, data: Data) -> None:
    """It is told which inputs there are."""
    from paddlepress.spec.preprocessing import Preprocessing

    with pytest.raises(DataError, match="is of one input, and the data 'arrays' hold image, note, ink"):
        data.learning.through(Preprocessing(scale=255))
    with pytest.raises(DataError, match=r"'odd!'.*letters, digits, _ and -"):
        from_arrays({"odd!": np.zeros((4, 2)), "b": np.zeros((4, 2))}, np.arange(4) % 2)
