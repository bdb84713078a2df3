"""Which code a task's key covers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from paddlepress.core import plugins
from paddlepress.core.plugins import ARCHITECTURES, MEASUREMENTS, TECHNIQUES
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress_pipelines.local import cache, code
from paddlepress_pipelines.local.spec import TaskSpec, tasks_of
from paddlepress_pipelines.plan import plan
from paddlepress_pipelines.recipe import load

FILES = {
    "__init__.py": "",
    "technique.py": "from acme.inner import helper\nfrom . import tables\nimport acme_other.part\nimport numpy\n",
    "inner/__init__.py": "",
    "inner/helper.py": "from ..deep import x",
    "deep.py": "x = 1",
    "tables.py": "",
    "architecture.py": "from acme.layers import Layer",
    "layers.py": "class Layer: ...",
    "measurement.py": "from acme.deep import x",
    "nothing.py": "",
}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with a technique and an architecture, and one of somebody else's that it builds on."""
    for name, text in FILES.items():
        (tmp_path / "acme" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "acme" / name).write_text(text)
    (tmp_path / "acme_other").mkdir()
    (tmp_path / "acme_other" / "part.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = {
        TECHNIQUES: {"squash": EntryPoint("squash", "acme.technique:Squash", TECHNIQUES)},
        ARCHITECTURES: {
            "acme-net": EntryPoint("acme-net", "acme.architecture:net", ARCHITECTURES),
            "other-net": EntryPoint("other-net", "acme_other.part:net", ARCHITECTURES),
        },
        MEASUREMENTS: {"width": EntryPoint("width", "acme.measurement:Width", MEASUREMENTS)},
    }
    listed = plugins.listed
    monkeypatch.setattr(code, "listed", lambda group: {**listed(group), **entries.get(group, {})})
    monkeypatch.setattr(code, "entry_points", lambda group: list(entries.get(group, {}).values()))
    forget()
    yield tmp_path / "acme"
    forget()
    assert "acme" not in sys.modules


def forget() -> None:
    code._plugin_digest.cache_clear()
    code._roots.cache_clear()


def changed_by(file: Path, text: str, technique: str, *architectures: str, measures: bool = False) -> bool:
    """Whether what a task's key covers is other once a file has this text."""
    before = code.plugins_digest(technique, frozenset(architectures), measures=measures)
    file.write_text(text)
    forget()
    return code.plugins_digest(technique, frozenset(architectures), measures=measures) != before


def test_a_measurement_is_part_of_evaluating_alone(acme: Path) -> None:
    """A measurement that was edited measures again, and trains nothing again."""
    assert changed_by(acme / "measurement.py", "x = 2", "evaluate", measures=True)
    assert not changed_by(acme / "measurement.py", "x = 3", "squash")


@pytest.mark.parametrize("name", ["technique.py", "inner/helper.py", "deep.py", "tables.py", "inner/__init__.py"])
def test_a_techniques_key_covers_what_its_module_reaches(acme: Path, name: str) -> None:
    """However it imports it; the data that its package ships count too, and no task of another plugin's changes."""
    assert changed_by(acme / name, FILES[name] + "\n# changed\n", "squash")
    assert not changed_by(acme / name, FILES[name] + "\n# again\n", "train", "acme-net")
    assert not changed_by(acme / name, FILES[name] + "\n# again\n", "prune-weights", "lenet")
    assert changed_by(acme / "table.json", "{}", "squash")
    assert changed_by(acme.parent / "acme_other" / "part.py", "x = 1", "squash")


def test_an_architectures_module_is_covered_where_its_network_is_built(acme: Path) -> None:
    """A technique's task builds the model that it gets; without one, editing an architecture makes nothing again."""
    for name in ("layers.py", "architecture.py"):
        assert changed_by(acme / name, "a = 1", "train", "acme-net")
        assert changed_by(acme / name, "a = 2", "prune-weights", "lenet", "acme-net")
        assert not changed_by(acme / name, "a = 3", "squash", "lenet")
    assert not changed_by(acme / "nothing.py", "a = 4", "squash", "acme-net")


@pytest.mark.parametrize("text", ["import importlib\nimportlib.import_module('acme.' + 'nothing')", "def broken(:"])
def test_where_imports_cannot_be_told_the_whole_package_counts(acme: Path, text: str) -> None:
    """A module that imports by a computed name may reach any; so may one that can't be parsed."""
    (acme / "deep.py").write_text(text)
    forget()
    assert changed_by(acme / "nothing.py", "a = 1", "squash")


RECIPE = """\
name: r
data: {source: digits}
base: {architecture: lenet}
variants: {v: [distill-offline: {student: lenet-half}], w: [quantize-post-training]}
"""


def tasks(folder: Path, text: str) -> dict[str, TaskSpec]:
    (folder / "r.yaml").write_text(text)
    return {task.component: task for task in tasks_of(plan(load(folder / "r.yaml")).tasks).values()}


def test_the_networks_that_a_task_builds_are_known(tmp_path: Path) -> None:
    """From the recipe, from a technique's fields and from the models that it gets; of a foreign model nothing is."""
    found = tasks(tmp_path, RECIPE)
    lenet = {"model": {"type": "system.Model", "metadata": {"architecture": "lenet"}}}
    assert cache._architectures(found["load-data-digits"], {}) == frozenset()
    assert cache._architectures(found["train"], {}) == {"lenet"}
    assert cache._architectures(found["quantize-post-training"], lenet) == {"lenet"}
    assert cache._architectures(found["distill-offline"], lenet) == {"lenet", "lenet-half"}
    assert cache._architectures(found["evaluate"], {"model": {"type": "system.Model", "metadata": {}}}) is None
    from paddlepress.artifact import store

    model = Model.build(
        ArchitectureRef(name="lenet-half"), (TensorSpec(name="x", shape=(1, 8, 8)),), Classification(classes=("a", "b"))
    )
    store.save(model, tmp_path / "model")
    importing = RECIPE.replace("architecture: lenet", f"artifact: {tmp_path / 'model'}")
    assert cache._architectures(tasks(tmp_path, importing)["import-model"], {}) == {"lenet-half"}
    (tmp_path / "model" / "model.json").write_text("{")
    assert cache._architectures(tasks(tmp_path, importing)["import-model"], {}) is None
