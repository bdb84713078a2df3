"""Schedules on a server: one recurring run a recipe, which follows the newest version of a pipeline of its own.

A recurring run can't be changed, and one that is deleted takes its running runs along unless they are orphaned. So
it names its pipeline without a version, and a changed recipe is a new version of that pipeline; other times need a new
recurring run, which takes the place of the old. `submit` uploads to another pipeline, and changes no schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import ClusterError, UnknownName, UsageError
from paddlepress_pipelines.cron import Cron
from paddlepress_pipelines.kubeflow import submission
from paddlepress_pipelines.kubeflow.client import Cluster
from paddlepress_pipelines.kubeflow.failures import Missing

if TYPE_CHECKING:
    from paddlepress_pipelines.recipe import Recipe

_PREFIX, _SUFFIX = "paddlepress-", ".schedule"
"""Of the names of schedules and their pipelines; a recipe's name has no dot."""
_ENABLED = "ENABLED"


@dataclass(frozen=True)
class Schedule:
    """A schedule on a server.

    Attributes:
        id: of the recurring run.
        recipe: the recipe's name.
        cron: the times in six fields, seconds first.
        enabled: whether it starts runs; a paused one does not.
        experiment: the id of the experiment that its runs are in.
    """

    id: str
    recipe: str
    cron: str
    enabled: bool
    experiment: str

    def times(self) -> Cron | None:
        """The times in five fields; None where somebody else's schedule needs six."""
        seconds, _, rest = self.cron.partition(" ")
        try:
            return Cron.parse(rest) if seconds == "0" else None
        except UsageError:
            return None


@dataclass(frozen=True)
class Change:
    """What was done to have a recipe scheduled.

    Attributes:
        schedule: as it is now.
        version: what it runs.
        done: `created`, `moved` (to other times), `updated` (to another version) or `unchanged`.
    """

    schedule: Schedule
    version: submission.Version
    done: str


def put(cluster: Cluster, recipe: Recipe, cron: Cron, experiment: str) -> Change:
    """Have a recipe run at some times, and at no other; runs that are running go on.

    A schedule that is paused stays so.

    Raises:
        ClusterError: the server can't be reached or refuses.
    """
    version = submission.upload(cluster, recipe, name_of(recipe.name))
    group = submission.experiment_id(cluster, experiment)
    there = find(cluster, recipe.name)
    fitting = [one for one in there if one.cron == cron.with_seconds() and one.experiment == group]
    if fitting:
        kept = next((one for one in fitting if one.enabled), fitting[0])
        for other in there:
            if other is not kept:  # of a change that was cut off, or made by hand
                _delete(cluster, other)
        return Change(kept, version, "updated" if version.new else "unchanged")
    enabled = not there or any(one.enabled for one in there)
    made = _create(cluster, recipe, cron, group, version, enabled=not there)
    for other in there:
        _delete(cluster, other)
    if enabled and not made.enabled:
        made = _switch(cluster, made, enabled=True)
    return Change(made, version, "moved" if there else "created")


def listed(cluster: Cluster) -> list[Schedule]:
    """All schedules that paddlepress has made, by the names of their recipes."""
    listing = cluster.recurring_runs.recurring_run_service_list_recurring_runs
    found = (_schedule(one) for one in cluster.listed(listing, "recurring_runs", namespace=cluster.namespace))
    return sorted((one for one in found if one is not None), key=lambda one: (one.recipe, one.id))


def find(cluster: Cluster, recipe: str) -> list[Schedule]:
    """The schedules of a recipe: one or none, unless a change was cut off."""
    return [one for one in listed(cluster) if one.recipe == recipe]


def pause(cluster: Cluster, recipe: str) -> None:
    """Have a schedule start no runs.

    Raises:
        ClusterError: there is no such schedule, or the server can't be reached or refuses.
    """
    for one in _known(cluster, recipe):
        _switch(cluster, one, enabled=False)


def resume(cluster: Cluster, recipe: str) -> Schedule:
    """Have a schedule start runs again, from its next time on.

    Raises:
        ClusterError: there is no such schedule, or the server can't be reached or refuses.
    """
    return _switch(cluster, _known(cluster, recipe)[0], enabled=True)


def delete(cluster: Cluster, recipe: str) -> None:
    """Take a schedule away; runs that are running go on, and its pipeline stays.

    Raises:
        ClusterError: there is no such schedule, or the server can't be reached or refuses.
    """
    for one in _known(cluster, recipe):
        _delete(cluster, one)


def name_of(recipe: str) -> str:
    """What the schedule of a recipe, and its pipeline, are called."""
    return f"{_PREFIX}{recipe}{_SUFFIX}"


def _known(cluster: Cluster, recipe: str) -> list[Schedule]:
    there = listed(cluster)
    found = [one for one in there if one.recipe == recipe]
    if not found:
        raise UnknownName("schedule", recipe, {one.recipe for one in there}, cluster.host)
    return found


def _create(
    cluster: Cluster, recipe: Recipe, cron: Cron, experiment: str, version: submission.Version, *, enabled: bool
) -> Schedule:
    import kfp_server_api as server

    wanted = server.V2beta1RecurringRun(
        display_name=name_of(recipe.name),
        description=recipe.title or None,
        experiment_id=experiment,
        # No version: each run takes the newest that there is.
        pipeline_version_reference=server.V2beta1PipelineVersionReference(pipeline_id=version.pipeline),
        runtime_config=server.V2beta1RuntimeConfig(parameters={}),
        trigger=server.V2beta1Trigger(cron_schedule=server.V2beta1CronSchedule(cron=cron.with_seconds())),
        mode=server.RecurringRunMode.ENABLE if enabled else server.RecurringRunMode.DISABLE,
        max_concurrency=1,
        no_catchup=True,
        namespace=cluster.namespace,
    )

    def found() -> Any:
        fitting = [one for one in find(cluster, recipe.name) if one.cron == cron.with_seconds()]
        return next((one for one in fitting if one.experiment == experiment), None)

    made = cluster.call(cluster.recurring_runs.recurring_run_service_create_recurring_run, wanted, found=found)
    schedule = made if isinstance(made, Schedule) else _schedule(made)
    if schedule is None:
        raise ClusterError(f"{cluster.host} made a schedule of another name than was asked for")
    return schedule


def _switch(cluster: Cluster, schedule: Schedule, *, enabled: bool) -> Schedule:
    runs = cluster.recurring_runs
    switch = (
        runs.recurring_run_service_enable_recurring_run if enabled else runs.recurring_run_service_disable_recurring_run
    )
    cluster.call(switch, schedule.id)
    return Schedule(schedule.id, schedule.recipe, schedule.cron, enabled, schedule.experiment)


def _delete(cluster: Cluster, schedule: Schedule) -> None:
    import kfp_server_api as server

    try:
        cluster.call(
            cluster.recurring_runs.recurring_run_service_delete_recurring_run,
            schedule.id,
            propagation_policy=server.V2beta1DeletePropagationPolicy.ORPHAN,
        )
    except Missing:
        return  # a request that was sent again had been obeyed the first time


def _schedule(answer: Any) -> Schedule | None:
    """A schedule of a server's `V2beta1RecurringRun`; None of one that paddlepress has not made."""
    name = str(answer.display_name or "")
    if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
        return None
    cron = answer.trigger.cron_schedule.cron if answer.trigger and answer.trigger.cron_schedule else None
    enabled = answer.status == _ENABLED if answer.status else answer.mode == "ENABLE"
    recipe = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return Schedule(str(answer.recurring_run_id), recipe, str(cron or ""), enabled, str(answer.experiment_id or ""))
