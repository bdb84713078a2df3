"""Technique components."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.data import Dataset
from paddlepress.data import store as data_store
from paddlepress.network.model import Model
from paddlepress.testing import digits, trained
from paddlepress_components.apply import apply_technique
from tests.components.artifacts import Artifact


class Stored:
    """Stands for a stored data set."""

    def for_model(self, model: Model) -> Dataset:
        return digits()


def test_the_device_is_chosen_before_a_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are loaded to where the technique computes, and the lineage has the component's technique."""
    store.save(trained(), tmp_path / "base")
    seen: list[str] = []
    use, load = compute.use_device, store.load
    monkeypatch.setattr(compute, "use_device", lambda device: (seen.append(device), use(device))[1])
    monkeypatch.setattr(store, "load", lambda path: (seen.append("load"), load(path))[1])
    monkeypatch.setattr(data_store, "load", lambda path: Stored())
    base = SimpleNamespace(path=str(tmp_path / "base"))
    made = Artifact(tmp_path / "made")
    apply_technique(
        technique="prune-weights",
        model=base,
        base=base,
        data=SimpleNamespace(path="data"),
        compressed_model=made,
        metrics=Artifact(tmp_path / "metrics"),
        fields={"sparsity": 0.5, "recovery_epochs": 0},
        seed=1,
        device="cpu",
    )
    assert seen[:3] == ["cpu", "load", "load"]
    assert load(tmp_path / "made").lineage[-1].technique == made.metadata["technique"] == "prune-weights"
