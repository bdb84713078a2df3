"""The tasks of a compiled pipeline, read back."""

from __future__ import annotations

from typing import Any

from kfp.local import utils
from kfp.local.executor_output_utils import pb2_value_to_python

from paddlepress_components import catalogue
from paddlepress_components.traits import Traits
from paddlepress_pipelines.local.spec import TaskSpec


def tasks_of(pipeline_spec: Any) -> dict[str, TaskSpec]:
    """The tasks of a static pipeline by name.

    Raises:
        ValueError: the pipeline has loops, conditions or parameters, which recipes do not make.
    """
    executors = pipeline_spec.deployment_spec["executors"]
    found: dict[str, TaskSpec] = {}
    for name, task in pipeline_spec.root.dag.tasks.items():
        component = pipeline_spec.components[task.component_ref.name]
        if component.WhichOneof("implementation") != "executor_label" or task.WhichOneof("iterator"):
            raise ValueError(f"task {name!r} is a loop or a nested pipeline")
        executor = utils.struct_to_executor_spec(executors[component.executor_label])
        function = _function(executor).replace("_", "-")
        constants = {}
        for parameter, value in task.inputs.parameters.items():
            if not value.HasField("runtime_value"):
                raise ValueError(f"parameter {parameter!r} of task {name!r} is not a constant")
            constants[parameter] = pb2_value_to_python(value.runtime_value.constant)
        inputs = {
            artifact: (value.task_output_artifact.producer_task, value.task_output_artifact.output_artifact_key)
            for artifact, value in task.inputs.artifacts.items()
        }
        found[name] = TaskSpec(
            name=name,
            title=task.task_info.name or name,
            component=function,
            component_spec=component,
            executor_spec=executor,
            constants=constants,
            inputs=inputs,
            after=frozenset(task.dependent_tasks) | {producer for producer, _ in inputs.values()},
            traits=catalogue.traits(function) if function in catalogue.names() else Traits(),
        )
    return found


def _function(executor: Any) -> str:
    """The function that an executor runs; the component's own name gets a number where it is used twice."""
    arguments = list(executor.container.args)
    return str(arguments[arguments.index("--function_to_execute") + 1])
