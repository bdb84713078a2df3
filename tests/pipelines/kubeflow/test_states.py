"""The tasks of a run as the server's nodes tell them."""

from __future__ import annotations

from collections import Counter

from paddlepress_pipelines.kubeflow import states, submission
from paddlepress_pipelines.kubeflow.client import Cluster
from paddlepress_pipelines.plan import plan
from paddlepress_pipelines.recipe.schema import Recipe
from tests.kubeflow_server import KubeflowServer, kubeflow

__all__ = ["kubeflow"]


def test_a_task_in_a_loop_is_told_once_a_turn(kubeflow: KubeflowServer) -> None:
    """Each turn is a task of its own, told when its state changes and not again; the loop itself is none."""
    sparsities = {f"v{number}": [{"prune-weights": {"sparsity": 0.5 + number / 1000}}] for number in range(40)}
    recipe = Recipe.model_validate(
        {
            "name": "many",
            "data": {"source": "digits"},
            "base": {"architecture": "lenet"},
            "variants": sparsities,
        }
    )
    looped = plan(recipe, loops=True)
    inside = [task for task in looped.tasks.values() if task.loop]
    assert inside, "no loop: nothing is tested"
    kubeflow.steps = 3
    cluster = Cluster(kubeflow.url).connect()
    version = submission.upload(cluster, recipe, "paddlepress-many")
    run = submission.start(cluster, recipe, version, "many")
    told: list[states.Task] = []
    ended, tasks = states.follow(cluster, run.run_id, told.append, poll_s=0)
    assert ended.state == "SUCCEEDED"
    expected = Counter({task.title: 2 if task.loop else 1 for task in looped.tasks.values()})
    assert Counter(task.title for task in tasks) == expected
    assert Counter(task.title for task in told) == Counter({title: 2 * count for title, count in expected.items()})
    kubeflow.versions[version.id].pipeline_spec = None  # as another server may have it
    answer = cluster.call(cluster.runs.run_service_get_run, run.run_id)
    assert states.titles_of(cluster, answer) == {}
    assert {task.name for task in states.tasks_of(answer, {})} >= {task.name for task in inside}
