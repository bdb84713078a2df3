"""Register a variant: a version of the recipe's registered model, with all that is known of it."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from paddlepress.core.errors import ArtifactError
from paddlepress.core.files import sha256_of
from paddlepress.registry import catalogue, history, integrity
from paddlepress.registry import tags as keys
from paddlepress.registry.connection import check_name, ensure_experiment, ensure_model, in_use
from paddlepress.registry.integrity import EVALUATION
from paddlepress.registry.locking import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.types import Schema

    from paddlepress.artifact.manifest import Manifest
    from paddlepress.evaluation.result import Evaluation
    from paddlepress.tasks import Task

CODE = Path(__file__).with_name("pyfunc_model.py")
REQUIREMENTS = ("paddlepress", "mlflow", "numpy", "onnxruntime", "safetensors", "constriction")
BASELINE = "baseline"
# What MLflow accepts in one request.
_PARAMETERS_AT_ONCE = 100
_PARAMETER_LENGTH = 6000


@dataclass(frozen=True)
class RegisteredVersion:
    """Where a variant stands in the registry.

    Attributes:
        version: its version of the registered model.
        created: False if the same variant had been registered before, and that version was found.
    """

    version: int
    created: bool


@dataclass(frozen=True)
class Variant:
    """A variant, and what it was made from.

    Attributes:
        name: in the recipe.
        chain: the techniques as the recipe writes them.
        recipe_digest, dataset_digest: what it was made from.
        pipeline_run: which run of the pipeline made it.
    """

    name: str
    chain: Sequence[Mapping[str, Any] | str]
    recipe_digest: str
    dataset_digest: str
    pipeline_run: str


@dataclass(frozen=True)
class Delivered:
    """What came out.

    Attributes:
        artifact: of the model.
        deployable: what is deployed: graph, encoded weights and manifest.
        evaluation: what was measured of this model.
    """

    artifact: Path
    deployable: Path
    evaluation: Evaluation


def register(client: MlflowClient, name: str, variant: Variant, delivered: Delivered) -> RegisteredVersion:
    """Register a variant once; the same variant of the same recipe and data is found again, not made twice.

    Data are those it was made from and those it was measured on. If it was only measured anew, the version found
    gets the new evaluation: tags, `evaluation.json` and the run's metrics (where MLflow keeps the former values as
    their history; a metric that is no longer measured stays there, but not in the tags). What was changed or deleted
    by hand is put right; a version that has lost its run or its files gives way to a new one, which takes its aliases.

    Makes one MLflow run with metrics, the lineage's parameters and `evaluation.json`, one MLflow model that
    `mlflow.pyfunc.load_model` opens (inputs as the data hold them to classes, see `registry.pyfunc_model`), and one
    version with tags, see `paddlepress.registry.tags`. The version is made last and with all its tags, so that a run
    that is killed leaves no half-described version. Alias `baseline` goes to the newest version of variant `base`.

    Args:
        client: from `paddlepress.registry.connection.connect`.
        name: the registered model, one per recipe.
        variant: what is registered.
        delivered: its files and figures.

    Raises:
        ArtifactError: a directory is damaged, or the three are not of the same model.
        RegistryError: a name that can't be registered, or a registry that fails.
    """
    from paddlepress.artifact import manifest as manifests

    check_name("the name", name)
    check_name("variant", variant.name)
    manifest, evaluation = manifests.read(delivered.artifact), delivered.evaluation
    _check_same_model(manifest, delivered)
    identity = {
        keys.VARIANT: variant.name,
        keys.MODEL_DIGEST: manifest.digest,
        keys.RECIPE_DIGEST: variant.recipe_digest,
        keys.DATASET_DIGEST: variant.dataset_digest,
        keys.TEST_DATA_DIGEST: evaluation.data_digest,
    }
    # MLflow's own functions look the model up in whatever registry is in use.
    with exclusive(client), in_use(client), TemporaryDirectory() as folder:
        report = Path(folder) / EVALUATION
        evaluation.save(report)
        ensure_model(client, name)
        facts = _facts(identity, variant, manifest, evaluation, report)
        found = _existing(client, name, identity)
        if found is not None and _mended(client, found, facts, evaluation, report):
            number = int(found.version)
            client.set_model_version_tag(name, str(number), keys.REGISTERED_AT, _now())
            _move_baseline(client, name, variant.name, number)
            return RegisteredVersion(number, created=False)
        _sweep(client, name, identity)
        run_tags = {"mlflow.runName": variant.name, **identity, keys.PIPELINE_RUN: variant.pipeline_run}
        run_id, model_id = _log(client, name, run_tags, manifest, delivered, report)
        made = client.create_model_version(name, f"models:/{model_id}", run_id, tags=facts, model_id=model_id)
        number = int(made.version)
        if found is not None:
            history.replaced(client, name, int(found.version), number, variant.name)
            client.delete_model_version(name, str(found.version))
        number = _settle(client, name, identity, number)
        _move_baseline(client, name, variant.name, number)
        return RegisteredVersion(number, created=number == int(made.version))


def refresh(client: MlflowClient, name: str, recipe_digests: Mapping[str, str]) -> None:
    """Make a recipe's versions the newest of their variants again, after another recipe's were registered.

    Args:
        client: of the registry.
        name: the registered model.
        recipe_digests: variant -> digest of what makes it in the recipe.

    Raises:
        UnknownName: there is no registered model of that name.
    """
    found = catalogue.versions(client, name)
    for variant, digest in recipe_digests.items():
        own = [row for row in found if row.variant == variant]
        made = [row for row in own if row.recipe_digest == digest]
        newest = max(own, key=catalogue.recency, default=None)
        if made and newest is not None and newest.recipe_digest != digest:
            chosen = max(made, key=catalogue.recency).version
            client.set_model_version_tag(name, str(chosen), keys.REGISTERED_AT, _now())
            _move_baseline(client, name, variant, chosen)


def _check_same_model(manifest: Manifest, delivered: Delivered) -> None:
    from paddlepress.deployment import bundle

    artifact, measured = delivered.artifact, delivered.evaluation.model_digest
    if bundle.read_manifest(delivered.deployable).digest != manifest.digest:
        raise ArtifactError(f"{delivered.deployable} was made from another model than {artifact}")
    if measured != manifest.digest:
        raise ArtifactError(f"the evaluation is of model {measured[:12]}, and {artifact} holds {manifest.digest[:12]}")


def _existing(client: Any, name: str, identity: Mapping[str, str]) -> Any | None:
    """The oldest version with this identity, as MLflow gives it."""
    conditions = [f"name='{name}'", *(f"tags.`{key}`='{value}'" for key, value in identity.items())]
    found = client.search_model_versions(" AND ".join(conditions))
    return min(found, key=lambda version: int(version.version), default=None)


def _mended(client: Any, found: Any, facts: Mapping[str, str], evaluation: Evaluation, report: Path) -> bool:
    """Have a version say what is true of it; False if it has lost its run or its files, which can't be put back."""
    if not integrity.is_sound(client, found, evaluation.files):
        return False
    if client.get_run(found.run_id).info.lifecycle_stage == "deleted":
        client.restore_run(found.run_id)
    if found.tags.get(keys.EVALUATION_DIGEST) != facts[keys.EVALUATION_DIGEST]:
        _log_metrics(client, found.run_id, evaluation)
        client.log_artifact(found.run_id, str(report))
    elif EVALUATION not in {file.path for file in client.list_artifacts(found.run_id)}:
        client.log_artifact(found.run_id, str(report))
    # The digest comes last: until it is there, registering again does all of this again.
    for key in sorted(facts, key=lambda key: key == keys.EVALUATION_DIGEST):
        if key not in (keys.PIPELINE_RUN, keys.REGISTERED_AT) and found.tags.get(key) != facts[key]:
            client.set_model_version_tag(found.name, str(found.version), key, facts[key])
    return True


def _sweep(client: Any, name: str, identity: Mapping[str, str]) -> None:
    """Delete the runs of attempts to register the same that were cut off before they made a version."""
    experiment = ensure_experiment(client, name)
    conditions = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
    for run in client.search_runs([experiment], conditions):
        if client.search_model_versions(f"name='{name}' AND run_id='{run.info.run_id}'"):
            continue
        models = client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
        for model in models:
            client.delete_logged_model(model.model_id)
        client.delete_run(run.info.run_id)
        # MLflow keeps the files of what is deleted; on a disk of one's own they are nobody's.
        for place in (run.info.artifact_uri, *(model.artifact_location for model in models)):
            if place.startswith("file:"):
                folder = Path(url2pathname(urlsplit(place).path))
                shutil.rmtree(folder.parent if folder.name == "artifacts" else folder, ignore_errors=True)


def _settle(client: Any, name: str, identity: Mapping[str, str], made: int) -> int:
    """The version that counts, should another machine have registered the same one through a server meanwhile."""
    oldest = _existing(client, name, identity)
    if oldest is None or int(oldest.version) == made:
        return made
    client.delete_model_version(name, str(made))
    return int(oldest.version)


def _move_baseline(client: Any, name: str, variant: str, number: int) -> None:
    if variant == catalogue.BASE:
        client.set_registered_model_alias(name, BASELINE, str(number))


def _facts(
    identity: Mapping[str, str],
    variant: Variant,
    manifest: Manifest,
    evaluation: Evaluation,
    report: Path,
) -> dict[str, str]:
    lineage = [entry.model_dump(mode="json") for entry in manifest.lineage]
    return {
        **identity,
        keys.CHAIN: json.dumps([step if isinstance(step, str) else dict(step) for step in variant.chain]),
        keys.LINEAGE: json.dumps(lineage),
        keys.PIPELINE_RUN: variant.pipeline_run,
        keys.EVALUATION_DIGEST: sha256_of(report),
        **_measured(evaluation),
        keys.REGISTERED_AT: _now(),
    }


def _measured(evaluation: Evaluation) -> dict[str, str]:
    return {
        keys.METRICS: json.dumps(_finite(evaluation.metrics)),
        keys.MISSING: json.dumps(dict(evaluation.missing)),
        keys.BASE_DIGEST: evaluation.base_digest,
    }


def _log(
    client: Any,
    name: str,
    run_tags: Mapping[str, str],
    manifest: Manifest,
    delivered: Delivered,
    report: Path,
) -> tuple[str, str]:
    """Log the run and the model; gives their ids."""
    run_id = client.create_run(ensure_experiment(client, name), tags=dict(run_tags)).info.run_id
    try:
        _log_evidence(client, run_id, manifest, delivered.evaluation)
        client.log_artifact(run_id, str(report))
        model_id = _log_model(client, run_id, run_tags[keys.VARIANT], manifest, delivered)
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id, model_id


def _log_evidence(client: Any, run_id: str, manifest: Manifest, evaluation: Evaluation) -> None:
    from mlflow.entities import Param

    _log_metrics(client, run_id, evaluation)
    params = [Param(key, value[:_PARAMETER_LENGTH]) for key, value in parameters(manifest).items()]
    for start in range(0, len(params), _PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=params[start : start + _PARAMETERS_AT_ONCE])


def _log_metrics(client: Any, run_id: str, evaluation: Evaluation) -> None:
    from mlflow.entities import Metric

    moment = int(time.time() * 1000)
    metrics = [Metric(key, value, moment, 0) for key, value in _finite(evaluation.metrics).items()]
    client.log_batch(run_id, metrics=metrics)


def parameters(manifest: Manifest) -> dict[str, str]:
    """A lineage as flat parameters: `1.prune-weights.sparsity` is that field of the second step."""
    flat = {"architecture": manifest.architecture.name}
    if manifest.preprocessing is not None:
        whole = manifest.preprocessing.model_dump_json()  # unless it has a table of words
        flat["preprocessing"] = whole if len(whole) <= _PARAMETER_LENGTH else manifest.preprocessing.text()
    for position, entry in enumerate(manifest.lineage):
        prefix = f"{position}.{entry.technique}"
        flat[f"{prefix}.seed"] = str(entry.seed)
        for key, value in entry.parameters.items():
            flat[f"{prefix}.{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _log_model(
    client: Any,
    run_id: str,
    variant: str,
    manifest: Manifest,
    delivered: Delivered,
) -> str:
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    from paddlepress.deployment.predictor import blank
    from paddlepress.spec.tensors import NamedArrays

    example = blank(manifest)
    signature = ModelSignature(
        _inputs(manifest),
        _columns(manifest.task),
        ParamSchema([ParamSpec("output", "string", "label")]),
    )
    run = client.get_run(run_id)
    # Made here, for Model.log would put it into whatever experiment is active; and MLflow takes no dots in its name.
    model = client.create_logged_model(
        run.info.experiment_id, variant.replace(".", "-"), run_id, params=run.data.params, model_type="pyfunc"
    )
    # Unlike mlflow.pyfunc.log_model, this takes run and model by their ids and starts no run of its own.
    with _pins_believed():
        Model.log(
            artifact_path=None,
            model_id=model.model_id,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            python_model=str(CODE),
            artifacts={"deployable": str(delivered.deployable.resolve()), "model": str(delivered.artifact.resolve())},
            signature=signature,
            input_example=example.arrays if isinstance(example, NamedArrays) else example,
            # Given, for MLflow takes long to guess them.
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
        )
    return str(model.model_id)


def _inputs(manifest: Manifest) -> Schema:
    """What a registered model takes, as MLflow says it: one tensor, or several by name."""
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    from paddlepress.deployment.predictor import stored_form

    tensors = []
    for spec in manifest.inputs:
        dtype, shape = stored_form(manifest, spec)
        tensors.append(TensorSpec(np.dtype(dtype), (-1, *shape), spec.name if len(manifest.inputs) > 1 else None))
    return Schema(tensors)


def _columns(task: Task) -> Schema | None:
    """What a registered model gives for an example, as MLflow says it; None where a column is no plain one."""
    import numpy as np
    from mlflow.types import ColSpec, Schema

    found = task.decode(np.zeros((1, *task.outputs[0].shape), np.float32))
    if any(values.ndim > 1 for values in found.values()):
        return None
    kinds = {"O": "string", "f": "float", "i": "long", "u": "long", "b": "boolean"}
    return Schema([ColSpec(kinds[values.dtype.kind], name) for name, values in found.items()])


@contextmanager
def _pins_believed() -> Iterator[None]:
    """Keep MLflow from looking whether what is installed has the version that was just asked of it.

    It reads the list of files of every installed distribution for that, which took most of a registration's time.
    """
    from mlflow.utils import requirements_utils

    name = "_check_requirement_satisfied"
    before = getattr(requirements_utils, name, None)
    if before is None:  # an MLflow that looks in another way
        yield
        return
    setattr(requirements_utils, name, lambda requirement: None)
    try:
        yield
    finally:
        setattr(requirements_utils, name, before)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items() if math.isfinite(value)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
