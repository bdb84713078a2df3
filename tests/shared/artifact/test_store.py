"""Saving models and loading them back."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import forged
import numpy as np
import pytest

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.manifest import FORMAT_VERSION, MANIFEST, WEIGHTS
from paddlepress.artifact.store import load, save
from paddlepress.core import compute
from paddlepress.core.errors import ArtifactError
from paddlepress.network.edits import Factorize, Narrow
from paddlepress.network.model import Model
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()

INPUTS = (TensorSpec(name="image", shape=(1, 12, 12)),)
TASK = Classification(classes=("a", "b", "c"))


@pytest.fixture
def model() -> Model:
    return Model.build(ArchitectureRef(name="lenet", arguments={"width": 0.25}), INPUTS, TASK)


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    save(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back_bit_for_bit(model: Model, saved: Path) -> None:
    """Outputs, digest and everything it says of itself are the same."""
    images = np.random.default_rng(0).standard_normal((5, 1, 12, 12)).astype(np.float32)
    back = load(saved)
    assert np.array_equal(back.predict(images), model.predict(images))
    assert (back.digest(), back.architecture, back.inputs, back.task) == (
        model.digest(),
        model.architecture,
        model.inputs,
        model.task,
    )


def test_files_can_be_read_by_others(saved: Path) -> None:
    """A task that runs as another user can read what this one wrote."""
    assert all(path.stat().st_mode & stat.S_IROTH for path in saved.iterdir())


def test_saving_replaces_an_old_artifact_whole(model: Model, saved: Path) -> None:
    """What was there is gone, and nothing temporary is left."""
    (saved / "stray").write_text("x")
    save(model, saved)
    assert sorted(path.name for path in saved.iterdir()) == [MANIFEST, WEIGHTS]
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "Upgrade paddlepress"),
        ({"format_version": "one"}, "states no format_version"),
        ({"surprise": 1}, "surprise"),
        ({"digest": "0" * 64}, "not the weights that were saved"),
        ({"architecture": {"name": "no-such"}}, "unknown architecture 'no-such'"),
        ({"architecture": {"name": "os:system"}}, "unknown architecture 'os:system'"),
        ({"edits": [{"kind": "explode"}]}, "edits"),
        ({"edits": [Factorize(layer="conv1", rank=2).model_dump()]}, "conv1"),
        ({"edits": [Factorize(layer="nowhere", rank=2).model_dump()]}, "nowhere"),
        ({"edits": [Narrow(shapes={}, sizes={"fc1": {"__class__": 1}}).model_dump()]}, "__class__"),
        ({"files": {"../other": {"sha256": "0" * 64, "bytes": 1}}}, "not inside the model artifact"),
        ({"files": {}}, "does not name weights.safetensors"),
        ({"preprocessing": {"std": [1, 1]}}, "preprocessing: .*'std' has 2 numbers"),
        ({"preprocessing": {"std": [0]}}, "preprocessing.std: .*holds 0"),
        ({"preprocessing": {"scale": 255}}, "not the weights that were saved"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(saved: Path, changes: dict[str, object], words: str) -> None:
    """Nothing of it is believed, and nothing outside the artifact is touched, even where it is sealed anew."""
    forged.change(saved / MANIFEST, **changes)
    with pytest.raises(Exception, match=words) as caught:
        load(saved)
    assert getattr(caught.value, "exit_code", None) == 2


def test_preprocessing_is_stored(model: Model, tmp_path: Path) -> None:
    """A model is loaded with the preprocessing that it was saved with, to the last bit, or with none."""
    for stated in (None, Preprocessing(), Preprocessing(dtype="uint8", scale=255, mean=(1 / 3,), std=(0.1,))):
        save(replace(model, preprocessing=stated), tmp_path / "saved")
        assert load(tmp_path / "saved").preprocessing == stated


def test_a_change_of_anything_is_noticed(model: Model, tmp_path: Path) -> None:
    """Whichever bit of the manifest flips, the history's too, it is refused, or it says the same as before."""
    step = LineageEntry(technique="train", version="paddlepress 1", parameters={"epochs": 3}, seed=7)
    save(model.with_lineage(step), tmp_path / "model")
    path = tmp_path / "model" / MANIFEST
    whole, said = path.read_bytes(), manifests.read(path.parent)
    accepted = []
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                if manifests.read(path.parent) != said:
                    accepted.append((place, bit))
            except ArtifactError as error:
                assert "\n" not in str(error)
    assert not accepted


def test_artifacts_of_former_versions_are_read(model: Model, saved: Path) -> None:
    """Their manifests have no seal, and those of version 2 no preprocessing: inputs are what the network takes."""
    content = forged.read(saved / MANIFEST)
    del content["seal"]
    forged.write(saved / MANIFEST, {**content, "format_version": 2}, seal=False)
    assert load(saved).digest() == model.digest() and load(saved).preprocessing is None
    forged.write(saved / MANIFEST, content, seal=False)
    with pytest.raises(ArtifactError, match="seal"):
        load(saved)


def test_weights_of_another_model_are_refused(model: Model, saved: Path, tmp_path: Path) -> None:
    """Even with a right size the checksum differs."""
    other = Model.build(model.architecture, INPUTS, TASK)
    save(other, tmp_path / "other")
    (saved / WEIGHTS).write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
    with pytest.raises(ArtifactError, match=r"checksum|bytes"):
        load(saved)


def test_a_copy_is_independent(model: Model) -> None:
    """Changing a copy leaves the original."""
    digest = model.digest()
    twin = model.copy()
    assert twin.digest() == digest
    twin.network.fc1.weight.set_value(twin.network.fc1.weight * 2)
    assert model.digest() == digest != twin.digest()
