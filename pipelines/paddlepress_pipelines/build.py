"""A plan as a Kubeflow pipeline: each task by itself, or, of many variants, loops."""

# No `from __future__ import annotations` here: Kubeflow reads the pipeline function's annotations as they are.
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl import utils

from paddlepress.core.errors import UsageError
from paddlepress_components import catalogue
from paddlepress_pipelines.plan import ITEM, Task, plan
from paddlepress_pipelines.recipe import Recipe
from paddlepress_pipelines.workflow_size import WorkflowSize, size_of

MOST_TASKS = 80
"""How many tasks stand in a pipeline by themselves, each seen in Kubeflow's graph. More would be more than the argument
can hold in which Kubeflow passes on a graph: about 1.2 kB a task."""


def pipeline(recipe: Recipe) -> Any:
    """The Kubeflow pipeline of a recipe."""
    planned = plan(recipe)
    if len(planned.tasks) > MOST_TASKS:
        planned = plan(recipe, loops=True)

    def body() -> None:
        made: dict[str, Any] = {}
        for loop, tasks in groupby(planned.tasks.values(), lambda task: task.loop):
            if not loop:
                made |= _tasks(tasks, made, recipe)
                continue
            with dsl.ParallelFor(planned.loops[loop], name=loop, parallelism=recipe.cluster.parallel) as item:
                made |= _tasks(tasks, made, recipe, item)

    description = recipe.description or recipe.title or f"Compress {recipe.base.architecture or 'a model'}"
    with _names_found_fast():
        return dsl.pipeline(name=f"paddlepress-{recipe.name}", description=description)(body)


def compile_to(recipe: Recipe, path: str) -> WorkflowSize:
    """Write the pipeline of a recipe as KFP YAML; how large a workflow the cluster makes of it.

    Raises:
        UsageError: the file is not called `.yaml` or `.yml`, or the pipeline is too large for any cluster.
    """
    if not path.endswith((".yaml", ".yml")):
        raise UsageError(f"can't compile to {Path(path).name!r}: a KFP pipeline's name must end in .yaml or .yml")
    compiled = pipeline(recipe)
    size = size_of(compiled.pipeline_spec)
    size.check(recipe.name)
    compiler.Compiler().compile(compiled, path)
    return size


def _tasks(tasks: Iterable[Task], before: Mapping[str, Any], recipe: Recipe, item: Any = None) -> dict[str, Any]:
    """Tasks of the pipeline by name.

    Args:
        tasks: of the plan.
        before: the tasks before them, by name.
        recipe: what they are made for.
        item: of the loop that they stand in.
    """
    made = dict(before)
    for task in tasks:
        made[task.name] = _task(task, made, recipe, item)
    return made


def _task(task: Task, made: dict[str, Any], recipe: Recipe, item: Any) -> Any:
    """One task, on the cluster that the recipe describes, as its component's traits ask for."""
    inputs = {name: made[producer].outputs[output] for name, (producer, output) in task.inputs.items()}
    constants = {name: item if value is ITEM else value for name, value in task.constants.items()}
    found = catalogue.component(task.component)(**constants, **inputs)
    found.after(*(made[name] for name in task.behind))
    for variable, value in recipe.cluster.environment.items():
        found.set_env_variable(variable, value)
    found.set_display_name(task.title)
    if not task.traits.kept_by_kubeflow:
        found.set_caching_options(False)
    return _on_node(found, recipe) if task.traits.accelerator else found


def _on_node(task: Any, recipe: Recipe) -> Any:
    cluster = recipe.cluster
    if cluster.gpus:
        task.set_accelerator_type(cluster.gpu_type).set_accelerator_limit(cluster.gpus)
    if cluster.cpus:
        task.set_cpu_limit(cluster.cpus)
    if cluster.memory:
        task.set_memory_limit(cluster.memory)
    return task


@contextmanager
def _names_found_fast() -> Iterator[None]:
    """Have Kubeflow's compiler remember what it found out about names.

    For each task it cleans the names of all tasks again, and of those of one component it tries one number after
    the other: of a thousand variants that alone took a minute.
    """
    before = utils.sanitize_task_name, utils.make_name_unique_by_adding_index
    utils.sanitize_task_name = cache(before[0])
    utils.make_name_unique_by_adding_index = _Numbers().unique
    try:
        yield
    finally:
        utils.sanitize_task_name, utils.make_name_unique_by_adding_index = before


class _Numbers:
    """Names with the next number that is free; the same as Kubeflow's, which counts from 2 every time."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}

    def unique(self, name: str, collection: Collection[str], delimiter: str) -> str:
        number = self._last.get((name, delimiter), 0) + 1
        while (numbered := name if number == 1 else f"{name}{delimiter}{number}") in collection:
            number += 1
        self._last[name, delimiter] = number
        return numbered
