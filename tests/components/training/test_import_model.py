"""Importing a base model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.data import StoredDataset
from paddlepress.data import store as data_store
from paddlepress.data.sources.npz import Npz
from paddlepress.network.model import Model
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_components.training.import_model import import_model
from tests.components.artifacts import Artifact

BY_255 = Preprocessing(scale=255)
Import = Callable[..., Artifact]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as 8x8 pixels of 0 to 255, dark on the whole, as a data-set artifact."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("data")
    found = load_digits()
    np.savez(folder / "digits.npz", x=np.minimum(found.images * 16, 255).astype(np.uint8), y=found.target)
    config = Npz(path=str(folder / "digits.npz"), calibration=50)
    data_store.prepare(config, folder / "data", folder / "test")
    return folder / "data"


@pytest.fixture(scope="module")
def stored(data: Path) -> StoredDataset:
    return data_store.load(data)


@pytest.fixture
def lenet(stored: StoredDataset) -> Model:
    reference = ArchitectureRef(name="lenet", arguments={"width": 0.25})
    return Model.build(reference, stored.inputs, stored.task, preprocessing=BY_255)


@pytest.fixture(scope="module")
def trained(stored: StoredDataset) -> Model:
    """A network trained on pixels / 255; nobody wrote down that it was."""
    settings = TrainingSettings(epochs=4, batch_size=32, learning_rate=3e-3)
    made = train_base(ArchitectureRef(name="lenet"), stored.through(BY_255), settings)
    return replace(made, preprocessing=None, lineage=())


@pytest.fixture
def bring(data: Path, tmp_path: Path) -> Import:
    """Imports a model; returns the output artifact."""

    def run(model: Model, **preprocessing: Any) -> Artifact:
        store.save(model, tmp_path / "given")
        made = Artifact(tmp_path / "model")
        import_model(data=Artifact(data), model=made, artifact=str(tmp_path / "given"), preprocessing=preprocessing)
        return made

    return run


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a component told its error in."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(ERROR_PREFIX)]
    return line


def test_an_imported_model_says_where_it_came_from(
    lenet: Model, stored: StoredDataset, bring: Import, tmp_path: Path
) -> None:
    """The lineage names the artifact and the data it is used with, after what the model went through before."""
    bring(lenet)
    imported = store.load(tmp_path / "model")
    entry = imported.lineage[-1]
    assert entry.technique == "import"
    given = str(tmp_path / "given")
    assert entry.parameters == {"artifact": given, "data": stored.name, "data_digest": stored.digest}
    assert np.array_equal(imported.network.fc1.weight.numpy(), lenet.network.fc1.weight.numpy())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": Classification(classes=tuple("0123456798"))}, ["class 8: '9'", "not '8'"]),
        ({"task": Classification(classes=tuple("01234567"))}, ["8 classes", "10"]),
        ({"inputs": (TensorSpec(name="image", shape=(1, 8, 8), dtype="float64"),)}, ["float64", "float32"]),
        ({"inputs": (TensorSpec(name="image", shape=(1, 12, 12)),)}, ["[1, 12, 12]", "[1, 8, 8]"]),
    ],
    ids=["names", "classes", "dtype", "shape"],
)
def test_a_model_for_other_data_is_refused(
    lenet: Model,
    change: dict[str, object],
    words: list[str],
    bring: Import,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Other classes, shapes or dtypes are told in one line, with exit code 2."""
    other = replace(lenet, **change)
    with pytest.raises(SystemExit) as caught:
        bring(Model.build(other.architecture, other.inputs, other.task, preprocessing=BY_255))
    line = told(capsys)
    assert caught.value.code == 2
    assert all(word in line for word in words), line
    assert not (tmp_path / "model").exists()


def test_a_model_keeps_the_preprocessing_it_was_trained_with(trained: Model, bring: Import, tmp_path: Path) -> None:
    """What the artifact states is carried on, completed by the data's dtype, and there is nothing to warn of."""
    made = bring(replace(trained, preprocessing=BY_255))
    assert store.load(tmp_path / "model").preprocessing == Preprocessing(dtype="uint8", scale=255)
    assert "warnings" not in made.metadata


def test_what_the_user_states_counts(trained: Model, bring: Import, tmp_path: Path) -> None:
    """An artifact that states nothing, or something else, takes what the recipe says."""
    for stated in (None, Preprocessing(scale=3)):
        made = bring(replace(trained, preprocessing=stated), scale=255)
        assert store.load(tmp_path / "model").preprocessing == Preprocessing(dtype="uint8", scale=255)
        assert "warnings" not in made.metadata


def test_preprocessing_is_not_guessed(
    trained: Model, bring: Import, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of unknown preprocessing is refused, and the line to write is told."""
    with pytest.raises(SystemExit) as caught:
        bring(trained)
    line = told(capsys)
    assert caught.value.code == 2
    assert "does not say how its training normalized its inputs" in line
    assert "base.preprocessing: {scale: 255} if they were only divided by 255" in line
    assert not (tmp_path / "model").exists()


def test_an_older_artifact_trained_on_these_data_has_their_statistics(
    trained: Model, stored: StoredDataset, bring: Import, tmp_path: Path
) -> None:
    """What paddlepress trained before models stated their preprocessing took the mean and deviation of its data."""
    step = LineageEntry(technique="train", version="", parameters={"data_digest": stored.digest}, seed=0)
    bring(trained.with_lineage(step))
    assert store.load(tmp_path / "model").preprocessing == stored.statistics


@pytest.mark.parametrize(
    ("preprocessing", "words"),
    [
        ({"mean": [0.1, 0.2, 0.3]}, "base.preprocessing does not fit the data 'npz': 'mean' has 3 numbers"),
        ({"dtype": "float32"}, "base.preprocessing takes float32 inputs, and the data 'npz' hold uint8"),
        ({"std": [0.0]}, "preprocessing: 'std' is [0]: holds 0"),
        ({"scales": 255}, "preprocessing: unknown field 'scales'"),
    ],
)
def test_preprocessing_that_does_not_fit_is_refused(
    preprocessing: dict[str, Any], words: str, trained: Model, bring: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong number of channels or dtype, a deviation of zero and a misspelt field are told in one line."""
    with pytest.raises(SystemExit) as caught:
        bring(trained, **preprocessing)
    assert caught.value.code == 2
    assert words in told(capsys)


def test_a_base_near_chance_is_warned_of(lenet: Model, bring: Import) -> None:
    """A network that guesses is imported, with a warning of what to look at that goes with the output as JSON."""
    (warning,) = json.loads(json.dumps(bring(lenet).metadata))["warnings"]
    assert "on the validation examples" in warning and "what is made from it is worth nothing" in warning
    assert "its preprocessing (base.preprocessing in a recipe)" in warning
    assert "uint8 / 255, mean 0, std 1" in warning
