"""A recipe as a Kubeflow pipeline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from kfp import components

from paddlepress.core import yaml_text
from paddlepress_pipelines.build import compile_to, pipeline
from paddlepress_pipelines.recipe import load
from tests.pipelines.compiled import tasks_of

GOLDEN = Path(__file__).parent / "golden" / "mnist.yaml"
CLUSTER = """\
cluster:
  gpus: 2
  cpus: "4"
  memory: 8Gi
  environment: {MLFLOW_TRACKING_URI: "http://mlflow:5000"}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "mnist.yaml"
    compile_to(load("mnist"), str(path))
    return path


def test_the_pipeline_is_the_golden_one(compiled: Path) -> None:
    """What a cluster is given for the MNIST recipe changes only on purpose; `make golden` writes it anew."""
    if os.environ.get("PADDLEPRESS_UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(compiled.read_text())
    assert compiled.read_text() == GOLDEN.read_text()


def test_the_pipeline_loads_back(compiled: Path) -> None:
    """Kubeflow reads what was written, as the same tasks."""
    loaded = components.load_component_from_file(str(compiled))
    assert set(tasks_of(loaded.pipeline_spec)) == set(tasks_of(pipeline(load("mnist")).pipeline_spec))


def test_kubeflow_keeps_nothing_that_is_done_to_the_registry() -> None:
    """The registry may have changed since the last run, and Kubeflow would not know; the report follows from it."""
    spec = pipeline(load("mnist")).pipeline_spec
    again = {name for name, task in spec.root.dag.tasks.items() if not task.caching_options.enable_cache}
    found = tasks_of(spec)
    assert {found[name].component for name in again} == {"register", "compare", "promote", "report"}


def resources(path: Path) -> dict[str, Any]:
    executors = yaml_text.read(path.read_text())["deploymentSpec"]["executors"]
    return {name: executor["container"].get("resources") for name, executor in executors.items()}


def test_the_clusters_environment_reaches_every_task(tmp_path: Path) -> None:
    """Tasks in pods find the registry that the recipe names."""
    compile_to(load(gpu_recipe(tmp_path)), str(tmp_path / "pipeline.yaml"))
    executors = yaml_text.read((tmp_path / "pipeline.yaml").read_text())["deploymentSpec"]["executors"]
    for executor in executors.values():
        assert executor["container"]["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}]


def gpu_recipe(folder: Path) -> Path:
    path = folder / "gpu.yaml"
    text = "name: gpu\ndata: {source: digits}\nbase: {architecture: lenet}\nvariants: {fewer: [prune-filters]}\n"
    path.write_text(text + CLUSTER)
    return path


def test_training_tasks_ask_for_gpus(tmp_path: Path) -> None:
    """What the recipe says of the cluster's nodes stands on the tasks that train, and on no other."""
    compile_to(load(gpu_recipe(tmp_path)), str(tmp_path / "gpu-pipeline.yaml"))
    found = resources(tmp_path / "gpu-pipeline.yaml")
    for name in ("exec-train", "exec-prune-filters"):
        assert found[name]["accelerator"]["resourceCount"] == "2"
        assert found[name]["resourceMemoryLimit"] == "8Gi"
    assert found["exec-load-data-digits"] is None and found["exec-promote"] is None
