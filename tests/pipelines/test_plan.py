"""A recipe as tasks."""

from __future__ import annotations

from pathlib import Path

from paddlepress_pipelines.plan import plan
from paddlepress_pipelines.recipe import load


def test_every_task_comes_after_those_that_it_needs() -> None:
    """Whoever takes the tasks in their order has what each is given; no two have one name."""
    before: set[str] = set()
    for name, task in plan(load("mnist")).tasks.items():
        assert name == task.name and task.after <= before
        before.add(name)


def test_constants_are_such_as_kubeflow_carries(tmp_path: Path) -> None:
    """A whole number where a field is a float or text becomes one, and None is left out."""
    text = "name: r\ndata: {source: digits}\nbase: {architecture: lenet, training: {learning_rate: 1}}\n"
    (tmp_path / "r.yaml").write_text(text + "variants: {v: [prune-filters: {round_to: 8}]}\n")
    tasks = plan(load(tmp_path / "r.yaml")).tasks
    assert repr(tasks["train"].constants["learning_rate"]) == "1.0"
    assert tasks["prune-filters"].constants["round_to"] == "8"
    assert all(value is not None for task in tasks.values() for value in task.constants.values())


def test_chains_that_begin_alike_share_their_tasks() -> None:
    """filters50 stands in three chains of the recipe and is made once; so does sparse90 in two."""
    tasks = list(plan(load("mnist")).tasks.values())
    made = [
        task.title for task in tasks if task.component in ("prune-filters", "prune-weights", "quantize-post-training")
    ]
    assert sorted(made) == [
        "prune-filters (filters50)",
        "prune-weights (sparse90)",
        "quantize-post-training (filters50-int8)",
        "quantize-post-training (filters50-lowrank-int8)",
        "quantize-post-training (int8)",
        "quantize-post-training (sparse90-int8)",
    ]


def test_no_technique_can_see_the_test_data() -> None:
    """The test split flows to what measures variants, and a champion of an earlier run, and nowhere else."""
    tasks = plan(load("mnist")).tasks.values()
    seers = {task.component for task in tasks if ("load-data-mnist", "test_data") in task.inputs.values()}
    assert seers == {"export", "evaluate", "compare"}


def test_the_base_is_exported_once_for_every_comparison() -> None:
    """Each evaluation takes the base's deployable and outputs from the one task that made them."""
    tasks = plan(load("mnist")).tasks.values()
    exported = [task for task in tasks if task.component == "export"]
    (base,) = (task.name for task in exported if task.title == "export base")
    evaluations = [task for task in tasks if task.component == "evaluate"]
    assert len(exported) == len(evaluations)
    for task in evaluations:
        assert (task.inputs["base_deployable"], task.inputs["base_outputs"]) == (
            (base, "deployable"),
            (base, "outputs"),
        )
