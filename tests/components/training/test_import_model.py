"""Importing a base model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paddlepress.artifact import store
from paddlepress.data import store as data_store
from paddlepress.model import ArchitectureRef, InputSpec, Model, Task
from paddlepress.testing import digits
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_components.training.import_model import import_model
from tests.components.artifacts import Artifact


@pytest.fixture
def lenet(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(data_store, "load", lambda path: digits())
    return Model.build(ArchitectureRef(name="lenet", arguments={"width": 0.25}), digits().inputs, digits().task)


def test_an_imported_model_says_where_it_came_from(lenet: Model, tmp_path: Path) -> None:
    """The lineage names the artifact and the data it is used with, after what the model went through before."""
    store.save(lenet, tmp_path / "given")
    import_model(data=Artifact(tmp_path), model=Artifact(tmp_path / "model"), artifact=str(tmp_path / "given"))
    imported = store.load(tmp_path / "model")
    entry = imported.lineage[-1]
    assert entry.technique == "import"
    assert entry.parameters == {"artifact": str(tmp_path / "given"), "data": "digits", "data_digest": "digits"}
    assert imported.digest() == lenet.digest()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": Task(classes=tuple("0123456798"))}, ["class 8 is '9'", "'digits' have '8'"]),
        ({"task": Task(classes=tuple("01234567"))}, ["8 classes", "10"]),
        ({"inputs": (InputSpec(name="image", shape=(1, 8, 8), dtype="float64"),)}, ["float64", "float32"]),
        ({"inputs": (InputSpec(name="image", shape=(1, 12, 12)),)}, ["[1, 12, 12]", "[1, 8, 8]"]),
    ],
    ids=["names", "classes", "dtype", "shape"],
)
def test_a_model_for_other_data_is_refused(
    lenet: Model, change: dict[str, object], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other classes, shapes or dtypes are told in one line, with exit code 2."""
    other = replace(lenet, **change)
    store.save(Model.build(other.architecture, other.inputs, other.task), tmp_path / "given")
    with pytest.raises(SystemExit) as caught:
        import_model(data=Artifact(tmp_path), model=Artifact(tmp_path / "model"), artifact=str(tmp_path / "given"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(ERROR_PREFIX)]
    assert caught.value.code == 2 and len(lines) == 1
    assert all(word in lines[0] for word in words), lines
    assert not (tmp_path / "model").exists()
