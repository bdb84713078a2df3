"""Pipelines of many variants: loops, which a cluster can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from paddlepress.core import yaml_text
from paddlepress.core.errors import UsageError
from paddlepress_pipelines import workflow_size
from paddlepress_pipelines.build import MOST_TASKS, compile_to, pipeline
from paddlepress_pipelines.plan import ITEM, plan
from paddlepress_pipelines.recipe import Recipe, load
from tests.pipelines.recipe.test_scaling import recipe as recipe_of

HEAD = "name: many\ndata: {source: digits}\nbase: {architecture: lenet}\nvariants:\n"


def many(folder: Path, count: int) -> Recipe:
    return load(recipe_of(folder, count))


def items(spec: Any) -> list[dict[str, Any]]:
    """What the loops of a pipeline go through."""
    found = [task.parameter_iterator.items.raw for task in spec.root.dag.tasks.values() if task.WhichOneof("iterator")]
    return [item for raw in found for item in json.loads(raw)]


def test_two_hundred_variants_fit_on_a_cluster(tmp_path: Path) -> None:
    """As loops, of which Kubeflow takes every word: 200 chains of two steps within the sizes that clusters hold."""
    recipe, path = many(tmp_path, 200), tmp_path / "pipeline.yaml"
    size = compile_to(recipe, str(path))
    assert path.stat().st_size < 300_000
    assert size.workflow < 700_000 and size.argument < 100_000
    spec = json_format.ParseDict(yaml_text_of(path), PipelineSpec())  # which refuses a field that it does not know
    assert [item["variant"] for item in items(spec)] == list(recipe.variants)
    assert items(spec)[7]["chain"] == [
        {"technique": "prune-weights", "parameters": {"sparsity": 0.107}},
        {"technique": "quantize-post-training", "parameters": {"exclude": ["v7"]}},
    ]
    (loop,) = (task for task in spec.root.dag.tasks.values() if task.WhichOneof("iterator"))
    assert loop.iterator_policy.parallelism_limit == recipe.cluster.parallel


def yaml_text_of(path: Path) -> Any:
    return yaml_text.read(path.read_text())


def test_a_pipeline_that_no_cluster_holds_is_refused(tmp_path: Path) -> None:
    """With the number and the limit; nothing is written."""
    with pytest.raises(UsageError, match=r"'big' is too large for a cluster: an argument of about \d\d\d,\d\d\d bytes"):
        compile_to(many(tmp_path, 600), str(tmp_path / "pipeline.yaml"))
    assert not (tmp_path / "pipeline.yaml").exists()


def test_few_variants_stand_by_themselves(tmp_path: Path) -> None:
    """Each of their tasks is seen in Kubeflow's graph, up to a number that it can hold."""
    few, more = many(tmp_path, 10), many(tmp_path, 20)
    assert not items(pipeline(few).pipeline_spec) and items(pipeline(more).pipeline_spec)
    flat = workflow_size.size_of(pipeline(few).pipeline_spec)
    assert flat.argument * MOST_TASKS / len(plan(few).tasks) < workflow_size.MOST_ARGUMENT_BYTES


SHARING = """\
  a: [prune-filters]
  b: [prune-filters, quantize-post-training]
  c: [prune-filters, {quantize-post-training: {bits: 4}}]
  d: [factorize-dense]
"""


def test_what_chains_begin_with_is_made_once(tmp_path: Path) -> None:
    """In loops as without: a loop goes on from what its variants share."""
    (tmp_path / "r.yaml").write_text(HEAD + SHARING)
    made = plan(load(tmp_path / "r.yaml"), loops=True)
    assert [task.title for task in made.tasks.values() if task.component == "prune-filters"] == ["prune-filters (a)"]
    begun = {item["variant"]: item["begun"] for loop in made.loops.values() for item in loop}
    assert begun == {"a": 1, "b": 1, "c": 1, "d": 0}
    compressing = {task.loop: task for task in made.tasks.values() if task.component == "compress"}
    assert compressing["variants-1"].inputs["model"] == ("prune-filters", "compressed_model")
    assert compressing["variants-2"].inputs["model"] == ("train", "model")
    assert all(task.constants["made"] is ITEM for task in compressing.values())


def test_comparing_waits_for_every_loop(tmp_path: Path) -> None:
    """The base and all variants are registered before any are compared."""
    (tmp_path / "r.yaml").write_text(HEAD + SHARING)
    made = plan(load(tmp_path / "r.yaml"), loops=True)
    behind = made.tasks["compare"].behind
    assert {made.tasks[name].loop for name in behind} == {"", "variants-1", "variants-2"}


def test_a_technique_with_an_image_of_its_own_is_in_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop's tasks have one image, in which it might not run."""
    from paddlepress_components.factorization.dense import FactorizeDense

    monkeypatch.setattr(FactorizeDense, "image", "own:1")
    (tmp_path / "r.yaml").write_text(HEAD + SHARING)
    made = plan(load(tmp_path / "r.yaml"), loops=True)
    assert made.tasks["factorize-dense"].title == "factorize-dense (d)"
    assert [item["variant"] for loop in made.loops.values() for item in loop] == ["a", "b", "c"]
