"""Upload a recipe's pipeline, and start a run of it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from paddlepress.core import files
from paddlepress.core.errors import ClusterError
from paddlepress_pipelines.kubeflow.client import Cluster
from paddlepress_pipelines.kubeflow.failures import Refused

if TYPE_CHECKING:
    from paddlepress_pipelines.recipe import Recipe

_DIGITS = 12


@dataclass(frozen=True)
class Version:
    """A version of a pipeline on a server.

    Attributes:
        pipeline: the pipeline's id.
        id: its own.
        name: begins with the recipe's name and the time, and ends with a part of the digest of what was compiled.
        new: whether it was uploaded just now.
    """

    pipeline: str
    id: str
    name: str
    new: bool


def pipeline_of(recipe: str) -> str:
    """The pipeline that gets a version for each submission of a recipe that differs from the last."""
    return f"paddlepress-{recipe}"


def upload(cluster: Cluster, recipe: Recipe, pipeline: str) -> Version:
    """Have the newest version of a pipeline be the one that a recipe compiles to.

    Args:
        cluster: the server.
        recipe: what to compile.
        pipeline: the pipeline's name; it is made where it is not there.

    Raises:
        ClusterError: the server can't be reached or refuses.
    """
    from paddlepress_pipelines.build import compile_to

    with TemporaryDirectory(prefix="paddlepress-") as scratch:
        file = Path(scratch) / "pipeline.yaml"
        compile_to(recipe, str(file))
        digest = files.sha256_of(file)[:_DIGITS]
        home = _pipeline(cluster, pipeline, recipe.title or recipe.name)
        newest = _newest_version(cluster, home)
        if newest is not None and newest.display_name.endswith(f"-{digest}"):
            return Version(home, newest.pipeline_version_id, newest.display_name, new=False)
        name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{digest}"
        try:
            made = cluster.call(
                cluster.uploads.upload_pipeline_version,
                str(file),
                name=name,
                pipelineid=home,
                description=recipe.description[:1000] or None,
                found=lambda: _version(cluster, home, name),
            )
        except Refused as error:
            raise ClusterError(
                f"{error}. The pipeline is of kfp {metadata.version('kfp')}: is the server older?"
            ) from None
    return Version(home, made.pipeline_version_id, name, new=True)


def start(cluster: Cluster, recipe: Recipe, version: Version, experiment: str) -> Any:
    """Start a run of a version; gives the server's `V2beta1Run`.

    Args:
        cluster: the server.
        recipe: what the version was compiled from.
        version: what to run.
        experiment: the name of the experiment that the run is to be in; it is made where it is not there.

    Raises:
        ClusterError: the server can't be reached or refuses.
    """
    import kfp_server_api as server

    name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    run = server.V2beta1Run(
        display_name=name,
        description=recipe.title or None,
        experiment_id=experiment_id(cluster, experiment),
        pipeline_version_reference=server.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline, pipeline_version_id=version.id
        ),
        runtime_config=server.V2beta1RuntimeConfig(parameters={}),
    )
    return cluster.call(cluster.runs.run_service_create_run, run, found=lambda: run_named(cluster, name))


def run_named(cluster: Cluster, name: str) -> Any:
    """The run of a display name; None where there is none, the newest where there are several."""
    return _first(
        cluster,
        cluster.runs.run_service_list_runs,
        "runs",
        name,
        namespace=cluster.namespace,
        sort_by="created_at desc",
    )


def experiment_id(cluster: Cluster, name: str) -> str:
    """The id of an experiment, which is made where it is not there."""
    import kfp_server_api as server

    def found() -> Any:
        listing = cluster.experiments.experiment_service_list_experiments
        return _first(cluster, listing, "experiments", name, namespace=cluster.namespace)

    there = found()
    if there is None:
        wanted = server.V2beta1Experiment(display_name=name, namespace=cluster.namespace)
        there = cluster.call(cluster.experiments.experiment_service_create_experiment, wanted, found=found)
    return str(there.experiment_id)


def pipeline_id(cluster: Cluster, name: str) -> str | None:
    """The id of a pipeline; None where it is not there."""
    listing = cluster.pipelines.pipeline_service_list_pipelines
    there = _first(cluster, listing, "pipelines", name, namespace=cluster.namespace)
    return None if there is None else str(there.pipeline_id)


def _pipeline(cluster: Cluster, name: str, description: str) -> str:
    import kfp_server_api as server

    def found() -> Any:
        listing = cluster.pipelines.pipeline_service_list_pipelines
        return _first(cluster, listing, "pipelines", name, namespace=cluster.namespace)

    there = found()
    if there is None:
        wanted = server.V2beta1Pipeline(display_name=name, description=description, namespace=cluster.namespace)
        there = cluster.call(cluster.pipelines.pipeline_service_create_pipeline, wanted, found=found)
    return str(there.pipeline_id)


def _newest_version(cluster: Cluster, pipeline: str) -> Any:
    listing = cluster.pipelines.pipeline_service_list_pipeline_versions
    found = cluster.call(listing, pipeline, page_size=1, sort_by="created_at desc").pipeline_versions
    return found[0] if found else None


def _version(cluster: Cluster, pipeline: str, name: str) -> Any:
    listing = cluster.pipelines.pipeline_service_list_pipeline_versions
    return _first(cluster, listing, "pipeline_versions", name, pipeline)


def _first(cluster: Cluster, listing: Any, items: str, name: str, *arguments: Any, **options: Any) -> Any:
    """The first of a listing that has a display name."""
    wanted = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
    found = cluster.listed(listing, items, *arguments, filter=json.dumps(wanted), **options)
    return next((one for one in found if one.display_name == name), None)
