"""What a model says of test data is computed once, and never taken for what another model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import digits_models
import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core.errors import ArtifactError
from paddlepress.data import StoredDataset, StoredSplit
from paddlepress.evaluation import outputs
from paddlepress.evaluation.evaluate import exported
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification


@pytest.fixture(scope="module")
def test_data() -> StoredDataset:
    split = digits_models.digits()[1]
    task, inputs = Classification(classes=tuple("0123456789")), (TensorSpec(name="image", shape=(1, 8, 8)),)
    whole = {"test": StoredSplit(split.inputs, split.labels)}
    return StoredDataset("digits", inputs, task, whole, "d" * 64, Preprocessing(dtype="float32"))


@pytest.fixture
def places(tmp_path: Path, test_data: StoredDataset) -> dict[str, tuple[Path, Path, Path]]:
    """Outputs, artifact and deployable of two models."""
    found = {}
    for name in ("base", "other"):
        model = digits_models.build("lenet", (1, 8, 8))
        if name == "other":
            model = digits_models.sparsified(model, 0.5)
        kept = tmp_path / f"{name}-outputs", tmp_path / name, tmp_path / f"{name}-deployable"
        store.save(model, kept[1])
        outputs.save(exported(kept[1], kept[2], test_data), test_data, kept[0])
        found[name] = kept
    return found


def test_kept_outputs_are_those_that_were_computed(
    places: dict[str, tuple[Path, Path, Path]], test_data: StoredDataset, tmp_path: Path
) -> None:
    """Bit for bit, of the deployable and of the network."""
    fresh = exported(places["base"][1], tmp_path / "again", test_data)
    kept = outputs.load(*places["base"], test_data)
    assert np.array_equal(kept.outputs, fresh.outputs)
    assert np.array_equal(kept.network_outputs, fresh.network_outputs)
    assert kept.model.digest() == fresh.model.digest()


def test_outputs_of_something_else_are_refused(
    places: dict[str, tuple[Path, Path, Path]], test_data: StoredDataset
) -> None:
    """Of another model, another deployable or other data: the message says which."""
    kept, artifact, deployable = places["base"]
    other = places["other"]
    with pytest.raises(ArtifactError, match="base-outputs are not of the model at"):
        outputs.load(kept, other[1], other[2], test_data)
    with pytest.raises(ArtifactError, match="not of the deployable at"):
        outputs.load(kept, artifact, other[2], test_data)
    with pytest.raises(ArtifactError, match="not of the test data 'digits'"):
        outputs.load(kept, artifact, deployable, replace(test_data, digest="e" * 64))


def test_damaged_outputs_are_refused(places: dict[str, tuple[Path, Path, Path]], test_data: StoredDataset) -> None:
    """A changed byte of a file is noticed, and so is a missing one."""
    arrays = places["base"][0] / outputs.ARRAYS
    data = bytearray(arrays.read_bytes())
    data[-1] ^= 1
    arrays.write_bytes(data)
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        outputs.load(*places["base"], test_data)
    (places["base"][0] / outputs.MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"it has no outputs\.json"):
        outputs.load(*places["base"], test_data)
