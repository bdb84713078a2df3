"""What is registered: the newest version of each variant with its metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from paddlepress.core.errors import RegistryError, UnknownName
from paddlepress.evaluation.paired_latencies import paired
from paddlepress.registry import tags as keys
from paddlepress.registry.publications import Publication, of_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

BASE = "base"
"""The variant that is the uncompressed model."""


class Remeasured(BaseModel):
    """A version measured again, beside another base model or on other test data than when it was registered.

    Attributes:
        base_digest, test_data_digest: beside which base model, and on what.
        metrics, missing: as in `Row`.
        failure: why it could not be measured; empty if it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_digest: str
    test_data_digest: str
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    failure: str = ""


class Row(BaseModel):
    """One registered version.

    Attributes:
        variant, version: which one.
        aliases: the aliases that point at it, sorted.
        metrics: what was measured, by name; see `paddlepress.evaluation.metrics.known`.
        missing: what was not measured, and why.
        chain: the techniques as the recipe writes them.
        lineage: the techniques as they were applied.
        model_digest, recipe_digest, dataset_digest, test_data_digest, evaluation_digest: SHA-256 of each.
        base_digest: of the base model that the metrics compare with; empty where that was not noted.
        remeasured: what was measured of it later, if anything was.
        pipeline_run: which run of the pipeline made it.
        run_id: its MLflow run.
        published: where it was published, oldest first.
        created: when the version was made.
        registered: when a pipeline last registered it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    version: int
    aliases: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    chain: list[JsonValue] = []
    lineage: list[JsonValue] = []
    model_digest: str = ""
    recipe_digest: str = ""
    dataset_digest: str = ""
    test_data_digest: str = ""
    evaluation_digest: str = ""
    base_digest: str = ""
    remeasured: Remeasured | None = None
    pipeline_run: str = ""
    run_id: str = ""
    published: tuple[Publication, ...] = ()
    created: datetime
    registered: datetime


def rows(client: MlflowClient, name: str) -> list[Row]:
    """The newest version of each variant, the base first, then in order of version.

    Raises:
        UnknownName: there is no registered model of that name; the message lists those that are.
    """
    return newest(versions(client, name))


def newest(found: Iterable[Row]) -> list[Row]:
    """Of some versions the newest of each variant, the base first, then in order of version."""
    latest: dict[str, Row] = {}
    for row in sorted(found, key=recency):
        latest[row.variant] = row
    return sorted(latest.values(), key=lambda row: (row.variant != BASE, row.version))


def with_paired_latency(found: Iterable[Row], base: Row | None) -> list[Row]:
    """Rows whose latencies follow from the base's and the paired speed-ups; the base itself stays as it is."""
    return [
        row
        if base is None or row.version == base.version
        else row.model_copy(update={"metrics": paired(row.metrics, base.metrics)})
        for row in found
    ]


def recency(row: Row) -> tuple[datetime, int]:
    """What is greater for the newer of two versions."""
    return row.registered, row.version


def versions(client: MlflowClient, name: str) -> list[Row]:
    """Every version that paddlepress registered and whose tags can be read, oldest first.

    Raises:
        UnknownName: there is no registered model of that name; the message lists those that are.
    """
    aliases: dict[int, list[str]] = {}
    for alias, number in model(client, name).aliases.items():
        aliases.setdefault(int(number), []).append(alias)
    found = []
    for entry in registered(client, name):
        with suppress(RegistryError):
            found.append(row_of(entry, tuple(sorted(aliases.get(int(entry.version), ())))))
    return found


def registered(client: MlflowClient, name: str) -> list[Any]:
    """Every version that paddlepress registered, as MLflow gives it, oldest first."""
    found: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=1000, page_token=token)
        found += [entry for entry in page if keys.VARIANT in entry.tags]
        token = page.token
        if not token:
            return sorted(found, key=lambda entry: int(entry.version))


def row(client: MlflowClient, name: str, variant: str) -> Row:
    """The newest version of one variant.

    Raises:
        UnknownName: the model or the variant is not registered; the message lists those that are.
    """
    known = {found.variant: found for found in rows(client, name)}
    if variant not in known:
        raise UnknownName(f"variant of {name}", variant, known)
    return known[variant]


def model(client: MlflowClient, name: str) -> Any:
    """MLflow's registered model, with aliases and tags.

    Raises:
        UnknownName: there is none of that name; the message lists those that are.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(f"the registry failed: {' '.join(str(error).split())[:300]}") from None
    raise UnknownName("registered model", name, (found.name for found in client.search_registered_models()))


def row_of(entry: Any, aliases: tuple[str, ...] = ()) -> Row:
    """A version as MLflow gives it, read from its tags.

    Raises:
        RegistryError: they can't be read.
    """
    tags: dict[str, str] = entry.tags
    created = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
    number = int(entry.version)
    try:
        return Row(
            variant=tags[keys.VARIANT],
            version=number,
            aliases=aliases,
            metrics=json.loads(tags.get(keys.METRICS, "{}")),
            missing=json.loads(tags.get(keys.MISSING, "{}")),
            chain=_chain(json.loads(tags.get(keys.CHAIN, "[]"))),
            lineage=json.loads(tags.get(keys.LINEAGE, "[]")),
            model_digest=tags.get(keys.MODEL_DIGEST, ""),
            recipe_digest=tags.get(keys.RECIPE_DIGEST, ""),
            dataset_digest=tags.get(keys.DATASET_DIGEST, ""),
            test_data_digest=tags.get(keys.TEST_DATA_DIGEST, ""),
            evaluation_digest=tags.get(keys.EVALUATION_DIGEST, ""),
            base_digest=tags.get(keys.BASE_DIGEST, ""),
            remeasured=json.loads(tags.get(keys.REMEASURED, "null")),
            pipeline_run=tags.get(keys.PIPELINE_RUN, ""),
            run_id=entry.run_id or "",
            published=of_tags(tags),
            created=created,
            registered=_moment(tags.get(keys.REGISTERED_AT, ""), created),
        )
    except ValueError as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise RegistryError(f"version {number} of {entry.name} has tags that can't be read: {why}") from None


def _moment(text: str, otherwise: datetime) -> datetime:
    """A time that somebody may have written by hand: without a zone it is UTC; one to come would win for ever."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment if moment <= datetime.now(UTC) + timedelta(days=1) else otherwise


def _chain(steps: Any) -> list[JsonValue]:
    """A chain of techniques, each `NAME`, `{NAME: FIELDS}` or `{technique: NAME, parameters: FIELDS}`."""

    def valid(step: Any) -> bool:
        return isinstance(step, str) or (
            isinstance(step, dict) and (len(step) == 1 or (len(step) == 2 and "technique" in step))
        )

    if not isinstance(steps, list) or not all(map(valid, steps)):
        raise ValueError("the chain is no list of techniques")
    return steps
