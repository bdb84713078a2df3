"""The compiled components: what a cluster is given changes only on purpose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kfp import compiler, components

from paddlepress_components import catalogue

GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("PADDLEPRESS_UPDATE_GOLDEN"))


@pytest.mark.parametrize("name", catalogue.names())
def test_component_yaml_is_the_golden_one(name: str, tmp_path: Path) -> None:
    """Each component compiles to its golden `component.yaml`; `make golden` writes them anew."""
    compiled, golden = tmp_path / "component.yaml", GOLDEN / f"{name}.yaml"
    compiler.Compiler().compile(catalogue.component(name), str(compiled))
    if UPDATE:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(compiled.read_text())
    assert compiled.read_text() == golden.read_text()


@pytest.mark.parametrize("name", catalogue.names())
def test_component_yaml_loads_back(name: str) -> None:
    """A compiled component is one that Kubeflow can load, described, with a description of every input."""
    loaded = components.load_component_from_file(str(GOLDEN / f"{name}.yaml"))
    spec = loaded.pipeline_spec.root.input_definitions
    assert loaded.description
    for inputs in (spec.parameters, spec.artifacts):
        for key, value in inputs.items():
            assert value.description, f"input {key!r} of {name} has no description"


def test_no_golden_file_is_left_over() -> None:
    """A component that is gone takes its golden file along."""
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(catalogue.names())
