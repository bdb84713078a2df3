"""Tasks as they are run here: what a plan says of each, and how its component is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kfp.local import utils

from paddlepress_components import catalogue
from paddlepress_components.traits import Traits
from paddlepress_pipelines.plan import Task


@dataclass(frozen=True)
class TaskSpec:
    """One task: a component with constants and the outputs of other tasks as its inputs.

    Attributes:
        name: unique in the run.
        title: for people.
        component: the component's name, such as `prune-weights`.
        component_spec, executor_spec: of the compiled component: what it takes and gives, and its command.
        constants: parameter -> value.
        inputs: artifact input -> (task, output).
        after: the tasks that must be finished before.
        traits: what its component needs; of one that is not ours, what most need.
    """

    name: str
    title: str
    component: str
    component_spec: Any
    executor_spec: Any
    constants: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    after: frozenset[str] = frozenset()
    traits: Traits = field(default_factory=Traits)


def tasks_of(tasks: Mapping[str, Task]) -> dict[str, TaskSpec]:
    """The tasks of a plan without loops, by name."""
    return {
        name: TaskSpec(
            name=name,
            title=task.title,
            component=task.component,
            component_spec=_compiled(task.component)[0],
            executor_spec=_compiled(task.component)[1],
            constants=task.constants,
            inputs=task.inputs,
            after=task.after,
            traits=task.traits,
        )
        for name, task in tasks.items()
    }


@cache
def _compiled(component: str) -> tuple[Any, Any]:
    """A component's specification and its executor's, as Kubeflow compiles them."""
    spec = catalogue.component(component).pipeline_spec
    (found,) = spec.components.values()
    executor = spec.deployment_spec["executors"][found.executor_label]
    return found, utils.struct_to_executor_spec(executor)
