"""How large the workflow is that Kubeflow Pipelines makes of a compiled pipeline, and whether a cluster can take it.

Its compiler (backend/src/v2/compiler/argocompiler in kubeflow/pipelines 2.17) writes each component and each executor
as a parameter of an Argo workflow, once for all tasks that have the same, and two steps for each task: a driver, which
is given the task as an argument, and the container itself. The driver of a graph of tasks is given the whole graph.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from paddlepress.core.errors import UsageError

MOST_WORKFLOW_BYTES = 1_500_000
"""What etcd takes as one object, 1.5 MiB, less what Argo notes of the state of a workflow."""
MOST_ARGUMENT_BYTES = 128 * 1024
"""What Linux takes as one argument of a process."""
_REST = 9_000  # the templates that every workflow has


@dataclass(frozen=True)
class WorkflowSize:
    """What a cluster is given to hold.

    Attributes:
        workflow: bytes of the workflow, about.
        argument: bytes of the longest argument of a process in it.
    """

    workflow: int
    argument: int

    def check(self, name: str) -> None:
        """Refuse what no cluster could take.

        Raises:
            UsageError: the limit that it is over, with both numbers.
        """
        for what, size, most in (
            ("a workflow", self.workflow, MOST_WORKFLOW_BYTES),
            ("an argument", self.argument, MOST_ARGUMENT_BYTES),
        ):
            if size > most:
                raise UsageError(
                    f"the pipeline of recipe {name!r} is too large for a cluster: {what} of about {size:,} bytes, "
                    f"where at most {most:,} can be. Split its variants over several recipes, or choose some with "
                    "--only"
                )


def size_of(pipeline_spec: Any) -> WorkflowSize:
    """The size of the workflow of a compiled pipeline, a `PipelineSpec` of kfp."""
    executors = pipeline_spec.deployment_spec["executors"]
    parameters, called = {"components-root": _json(pipeline_spec.root)}, {}
    for name, component in pipeline_spec.components.items():
        if not component.executor_label:
            called[name] = name
            parameters[f"components-{name}"] = _json(component)
            continue
        executor = _json(executors[component.executor_label])
        called[name] = hashlib.sha256(executor.encode()).hexdigest()
        parameters.setdefault(f"components-{called[name]}", _json(component))
        parameters.setdefault(f"implementations-{called[name]}", executor)
    graphs = {"root": pipeline_spec.root}
    graphs |= {name: component for name, component in pipeline_spec.components.items() if component.HasField("dag")}
    templates = [_template(name, graph, called) for name, graph in graphs.items()]
    values = [{"name": name, "value": value} for name, value in parameters.items()]
    workflow = json.dumps({"spec": {"templates": templates, "arguments": {"parameters": values}}})
    return WorkflowSize(len(workflow) + _REST, max(len(_json(graph)) for graph in graphs.values()))


def _template(name: str, graph: Any, called: dict[str, str]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for task, described in graph.dag.tasks.items():
        given = {
            "component": f"{{{{workflow.parameters.components-{called[described.component_ref.name]}}}}}",
            "task": _json(described),
            "container": f"{{{{workflow.parameters.implementations-{called[described.component_ref.name]}}}}}",
            "task-name": task,
            "parent-dag-id": "{{inputs.parameters.parent-dag-id}}",
        }
        depends = " && ".join(f"{other}.Succeeded" for other in described.dependent_tasks)
        steps.append(_step(f"{task}-driver", "system-container-driver", given, depends))
        outputs = f"{{{{tasks.{task}-driver.outputs.parameters"
        given = {"pod-spec-patch": f"{outputs}.pod-spec-patch}}}}", "cached-decision": f"{outputs}.cached-decision}}}}"}
        steps.append(_step(task, "system-container-executor", given, f"{task}-driver.Succeeded"))
    return {"name": name, "inputs": {"parameters": [{"name": "parent-dag-id"}]}, "dag": {"tasks": steps}}


def _step(name: str, template: str, given: dict[str, str], depends: str) -> dict[str, Any]:
    parameters = [{"name": key, "value": value} for key, value in given.items()]
    return {"name": name, "template": template, "arguments": {"parameters": parameters}, "depends": depends}


def _json(message: Any) -> str:
    from google.protobuf import json_format

    return str(json_format.MessageToJson(message, indent=None))
