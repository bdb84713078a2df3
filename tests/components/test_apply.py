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
from paddlepress_components.apply import apply_chain, apply_technique
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


def test_a_chain_in_one_task_gives_what_its_techniques_give_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whether from its beginning or from where another task left it; and nothing is left, it is kept."""
    store.save(trained(), tmp_path / "base")
    monkeypatch.setattr(data_store, "load", lambda path: Stored())
    chain = [("prune-weights", {"sparsity": 0.5, "recovery_epochs": 0}), ("share-weights", {"recovery_epochs": 0})]
    given = {"base": SimpleNamespace(path=str(tmp_path / "base")), "data": SimpleNamespace(path="data"), "seed": 1}

    def technique(number: int, model: Path) -> Path:
        made, (name, fields) = Artifact(tmp_path / f"made-{number}"), chain[number]
        metrics = Artifact(tmp_path / "metrics")
        outputs = {"compressed_model": made, "metrics": metrics, "device": "cpu"}
        apply_technique(technique=name, fields=fields, model=SimpleNamespace(path=str(model)), **outputs, **given)
        return Path(made.path)

    def rest(begun: int, model: Path) -> str:
        steps = [{"technique": name, "parameters": fields} for name, fields in chain]
        item = {"variant": "v", "recipe_digest": "d", "chain": steps, "begun": float(begun)}
        made, metrics = Artifact(tmp_path / f"rest-{begun}"), Artifact(tmp_path / "metrics")
        outputs = {"compressed_model": made, "metrics": metrics, "device": "cpu"}
        apply_chain(made=item, model=SimpleNamespace(path=str(model)), **outputs, **given)
        return str(store.load(Path(made.path)).digest())

    first = technique(0, tmp_path / "base")
    second = technique(1, first)
    expected = store.load(second).digest()
    assert rest(0, tmp_path / "base") == rest(1, first) == rest(2, second) == expected
