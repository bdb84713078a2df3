from __future__ import annotations

import numpy as np
import pytest

from paddlepress.core.errors import DataError, UnknownName
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.testing import digits, trained
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings


def test_the_lineage_tells_settings_and_data() -> None:
    """A trained model says how it was trained, on what, and after which seed."""
    (entry,) = trained().lineage
    assert entry.technique == "train"
    assert entry.version.startswith("paddlepress ")
    assert (entry.parameters["epochs"], entry.parameters["data"], entry.seed) == (6, "digits", 0)


def test_the_seed_decides_the_first_weights_too() -> None:
    """Two trainings with one seed give the same model; with another seed, another."""
    settings = TrainingSettings(epochs=1, batch_size=256)
    models = [train_base(ArchitectureRef(name="lenet-half"), digits(), settings, seed=seed) for seed in (1, 1, 2)]
    weights = [model.network.conv1.weight.numpy() for model in models]
    assert models[0].digest() == models[1].digest()
    assert not np.array_equal(weights[0], weights[2])


def test_an_unknown_architecture_and_a_missing_split_are_refused() -> None:
    """Mistakes are told before any training."""
    with pytest.raises(UnknownName, match="lenet-300-100"):
        train_base(ArchitectureRef(name="lenet-99"), digits(), TrainingSettings())
    splits = {"train": digits().split("train")}
    lacking = type(digits())("digits", digits().inputs, digits().task, splits, "")
    with pytest.raises(DataError, match="no 'validation' split"):
        train_base(ArchitectureRef(name="lenet"), lacking, TrainingSettings(epochs=1))
