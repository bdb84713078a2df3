"""A pipeline with loops, run by Kubeflow's own local orchestrator as a cluster would: task by task, from its YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from kfp import components, local

from paddlepress.registry import catalogue, connection
from paddlepress_pipelines import build
from paddlepress_pipelines.recipe import load

RECIPE = """\
name: looped
data: {source: digits}
base: {architecture: lenet-half, training: {epochs: 2}}
evaluation: {latency_seconds: 0.2}
variants:
  sparse: [prune-weights: {sparsity: 0.5, recovery_epochs: 0}]
  sparse-int8: [prune-weights: {sparsity: 0.5, recovery_epochs: 0}, quantize-post-training]
  int8: [quantize-post-training]
gates: [{metric: accuracy, against: base, at_least: -30}]
"""


def test_every_variant_of_a_loop_is_registered_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, with its own chain, whether it begins with the base model or with what others begin with too."""
    monkeypatch.setattr(build, "MOST_TASKS", 0)
    (tmp_path / "looped.yaml").write_text(RECIPE)
    build.compile_to(load(tmp_path / "looped.yaml"), str(tmp_path / "pipeline.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PADDLEPRESS_HOME", str(tmp_path / "home"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "outputs"))
    components.load_component_from_file(str(tmp_path / "pipeline.yaml"))()
    entries = catalogue.registered(connection.connect(tmp_path / "home"), "looped")
    rows = {entry.tags["variant"]: entry for entry in entries}
    assert sorted(rows) == ["base", "int8", "sparse", "sparse-int8"] and len(entries) == 4
    (report,) = (tmp_path / "outputs").rglob("report*/report*")
    assert all(variant in report.read_text() for variant in rows)
