"""What the registry knows of a model's variants, put side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.errors import RegistryError
from paddlepress.registry import catalogue, connection
from paddlepress.registry.gates import Gate, Objective, check
from paddlepress.registry.history import CHALLENGER, CHAMPION
from paddlepress.report.data import Champion, ClassChange, DatasetSummary, GateOutcome, ReportData, Step, VariantReport

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.evaluation.result import Evaluation

# What `compare --json` prints of each variant, beside every further metric.
LEADING = ("accuracy", "drop", "bytes", "ratio", "parameters", "macs", "speedup_b1", "speedup_b32")


def compare(
    client: MlflowClient,
    name: str,
    gates: Sequence[Gate],
    objective: Objective,
    *,
    title: str = "",
    variants: Sequence[str] = (),
    champion_reason: str = "",
) -> ReportData:
    """The newest version of every variant, with what its gates say.

    Args:
        client: of the registry.
        name: the registered model.
        gates: judged on every variant but the base.
        objective: what the champion is chosen by.
        title: a heading; empty takes the name.
        variants: the variants to show, in this order; empty shows all.
        champion_reason: why the champion is the champion, or why there is none.

    Raises:
        UnknownName: there is no such model, or it lacks one of the variants.
    """
    newest = catalogue.rows(client, name)
    reference = next((row for row in newest if row.variant == catalogue.BASE), None)
    rows = {row.variant: row for row in catalogue.with_paired_latency(newest, reference)}
    chosen = [rows[variant] for variant in variants if variant in rows] or list(rows.values())
    missing = [variant for variant in variants if variant not in rows]
    if missing:
        raise RegistryError(
            f"{name} has no registered version of {', '.join(missing)}; run its recipe with --fresh to register it"
        )
    if not chosen:
        raise RegistryError(f"{name} has no registered variant yet; run its recipe first")
    evaluations = _evaluations(client, chosen)
    base = reference.metrics if reference is not None else None
    champion = _champion(client, name)
    if champion is not None:
        (champion,) = catalogue.with_paired_latency([champion], reference)
    return ReportData(
        recipe=name,
        title=title or name,
        created=datetime.now(UTC),
        dataset=_dataset(chosen, evaluations),
        objective=f"The champion has the {objective} among the variants that pass their gates",
        champion=Champion(variant=champion.variant, version=str(champion.version), reason=champion_reason)
        if champion
        else None,
        no_champion_reason="" if champion else champion_reason,
        variants=tuple(
            _variant(row, evaluations[row.version], gates, base, champion.metrics if champion else None)
            for row in chosen
        ),
        environment=evaluations[chosen[0].version].environment,
    )


def decided(report: ReportData, decision: Mapping[str, Any]) -> ReportData:
    """A comparison made before a decision, as it stands after it.

    Args:
        report: the comparison.
        decision: `action`, `variant`, `reason`, and the versions `champion` and `challenger`, as `promote` writes them.
    """
    places = {CHAMPION: decision["champion"], CHALLENGER: decision["challenger"]}

    def aliases(variant: VariantReport) -> tuple[str, ...]:
        kept = {alias for alias in variant.aliases if alias not in places}
        won = {alias for alias, version in places.items() if version is not None and str(version) == variant.version}
        return tuple(sorted(kept | won))

    variants = tuple(variant.model_copy(update={"aliases": aliases(variant)}) for variant in report.variants)
    champion = None
    if decision["champion"] is not None:
        version = str(decision["champion"])
        name = next((variant.variant for variant in variants if variant.version == version), decision["variant"])
        champion = Champion(variant=name, version=version, reason=decision["reason"])
    reason = "" if champion else decision["reason"]
    return report.model_copy(update={"variants": variants, "champion": champion, "no_champion_reason": reason})


def flat_rows(report: ReportData) -> list[dict[str, Any]]:
    """One flat object per variant, for programs: variant, version, aliases and every metric; null if not measured."""
    names = list(dict.fromkeys([*LEADING, *(name for variant in report.variants for name in variant.metrics)]))
    return [
        {
            "variant": variant.variant,
            "version": int(variant.version) if variant.version else None,
            "aliases": list(variant.aliases),
            **{name: _whole(variant.metrics.get(name)) for name in names},
            "passes_gates": variant.failed_gates == 0,
            "chain": [step.model_dump(mode="json") for step in variant.chain],
        }
        for variant in report.variants
    ]


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value


def _variant(
    row: catalogue.Row,
    evaluation: Evaluation,
    gates: Sequence[Gate],
    base: dict[str, float] | None,
    champion: dict[str, float] | None,
) -> VariantReport:
    judged = () if row.variant == catalogue.BASE else check(gates, row.metrics, base, champion, row.missing)
    return VariantReport(
        variant=row.variant,
        version=str(row.version),
        aliases=row.aliases,
        chain=tuple(Step.model_validate(step) for step in row.chain),
        metrics=row.metrics,
        missing=row.missing,
        per_class=tuple(
            ClassChange.model_validate(entry.model_dump(include=set(ClassChange.model_fields)))
            for entry in evaluation.per_class
        ),
        gates=tuple(
            GateOutcome(text=result.text, passed=result.passed, metric=result.gate.metric) for result in judged
        ),
    )


def _champion(client: MlflowClient, name: str) -> catalogue.Row | None:
    for row in catalogue.versions(client, name):
        if CHAMPION in row.aliases:
            return row
    return None


def _evaluations(client: MlflowClient, rows: Sequence[catalogue.Row]) -> dict[int, Evaluation]:
    """Every figure of each version, from the run that registered it."""
    from mlflow.exceptions import MlflowException

    from paddlepress.evaluation.result import Evaluation
    from paddlepress.registry.register import EVALUATION

    found = {}
    with tempfile.TemporaryDirectory() as scratch, connection.in_use(client):
        for row in rows:
            folder = Path(scratch) / str(row.version)
            folder.mkdir()
            try:
                path = client.download_artifacts(row.run_id, EVALUATION, str(folder))
            except (MlflowException, OSError) as error:
                raise RegistryError(
                    f"version {row.version} of variant {row.variant!r} has lost its {EVALUATION}: {error}. "
                    "Run the recipe with --fresh to register it again"
                ) from None
            found[row.version] = Evaluation.load(Path(path))
    return found


def _dataset(rows: Sequence[catalogue.Row], evaluations: dict[int, Evaluation]) -> DatasetSummary:
    classes = evaluations[rows[0].version].per_class
    names = []
    for step in rows[0].lineage:
        parameters = step.get("parameters") if isinstance(step, dict) else None
        names.append(str(parameters.get("data", "")) if isinstance(parameters, dict) else "")
    return DatasetSummary(
        # An imported model brings the data it was trained on; the latest step is this pipeline's own.
        name=next((name for name in reversed(names) if name), "test data"),
        test_examples=sum(entry.count for entry in classes),
        classes=len(classes),
    )
