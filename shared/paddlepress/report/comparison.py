"""What the registry knows of a model's variants, put side by side."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import RegistryError
from paddlepress.registry import catalogue, connection
from paddlepress.registry import history as records
from paddlepress.registry.current_standing import measured_elsewhere, standing
from paddlepress.registry.gates import Gate, GateResult, Objective, check
from paddlepress.registry.history import CHALLENGER, CHAMPION
from paddlepress.report.data import Champion, ClassChange, DatasetSummary, GateOutcome, ReportData, Step, VariantReport

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from paddlepress.evaluation.result import Evaluation

OUTDATED = "outdated"
"""In the place of a gate's metric: the figures are of another base model or of other data."""
EARLIER, DEPOSED = "of an earlier run", "deposed"
"""Notes on versions that are shown beside the recipe's own."""
# What `compare --json` and `--csv` tell of each variant after how good it is, before every further metric.
LEADING = ("drop", "bytes", "ratio", "parameters", "macs", "speedup_b1", "speedup_b32")


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

    The champion is among them, and so is one that the last decision deposed because it failed, whatever recipe made
    them; their note says what they are.

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
        raise RegistryError(f"{name} has no registered version of {', '.join(missing)}; run its recipe to register it")
    if not chosen:
        raise RegistryError(f"{name} has no registered variant yet; run its recipe first")
    past = records.history(client, name)
    others = _others(catalogue.versions(client, name), past, {row.version for row in chosen})
    evaluations = _evaluations(client, chosen)
    champion = _champion(client, name)
    reigning = standing(champion, reference, gates) if champion is not None else None
    # A champion that fails is no reference, as in the decision.
    rival = reigning.row.metrics if reigning is not None and not reigning.failures else None
    return ReportData(
        recipe=name,
        title=title or name,
        created=datetime.now(UTC),
        dataset=_dataset(chosen, evaluations),
        primary=evaluations[chosen[0].version].primary,
        objective=f"The champion has the {objective} among the variants that pass their gates",
        champion=Champion(variant=champion.variant, version=str(champion.version), reason=champion_reason)
        if champion
        else None,
        no_champion_reason="" if champion else champion_reason,
        variants=tuple(
            [_variant(row, evaluations[row.version], gates, reference, rival) for row in chosen]
            + [_other(row, note, reference, gates) for row, note in others]
        ),
        environment=evaluations[chosen[0].version].environment,
    )


def decided(report: ReportData, decision: Mapping[str, Any]) -> ReportData:
    """A comparison made before a decision, as it stands after it.

    Args:
        report: the comparison.
        decision: `action`, `variant`, `reason`, `deposed`, and the versions `champion`, `previous` and `challenger`, as
            `promote` writes them.
    """
    places = {CHAMPION: decision["champion"], CHALLENGER: decision["challenger"]}

    def aliases(variant: VariantReport) -> tuple[str, ...]:
        kept = {alias for alias in variant.aliases if alias not in places}
        won = {alias for alias, version in places.items() if version is not None and str(version) == variant.version}
        return tuple(sorted(kept | won))

    def note(variant: VariantReport) -> str:
        lost = decision.get("deposed") and variant.version == str(decision.get("previous"))
        return DEPOSED if lost and variant.note else variant.note

    variants = tuple(
        variant.model_copy(update={"aliases": aliases(variant), "note": note(variant)}) for variant in report.variants
    )
    champion = None
    if decision["champion"] is not None:
        version = str(decision["champion"])
        name = next((variant.variant for variant in variants if variant.version == version), decision["variant"])
        champion = Champion(variant=name, version=version, reason=decision["reason"])
    reason = "" if champion else decision["reason"]
    return report.model_copy(update={"variants": variants, "champion": champion, "no_champion_reason": reason})


def flat_rows(report: ReportData) -> list[dict[str, Any]]:
    """One flat object per variant, for programs: variant, version, aliases and every metric; null if not measured."""
    every = (name for variant in report.variants for name in variant.metrics)
    names = list(dict.fromkeys([report.primary, *LEADING, *every]))
    return [
        {
            "variant": variant.variant,
            "version": int(variant.version) if variant.version else None,
            "aliases": list(variant.aliases),
            **{name: _whole(variant.metrics.get(name)) for name in names},
            "passes_gates": variant.failed_gates == 0,
            "note": variant.note,
            "chain": [step.model_dump(mode="json") for step in variant.chain],
        }
        for variant in report.variants
    ]


def frame(report: ReportData) -> pd.DataFrame:
    """A table with one line per variant and the columns of `flat_rows`; aliases and chain are text."""
    import pandas as pd

    rows = [
        {**row, "aliases": ", ".join(row["aliases"]), "chain": json.dumps(row["chain"])} for row in flat_rows(report)
    ]
    return pd.DataFrame(rows).convert_dtypes()  # whole numbers stay whole where one is missing


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value


def _variant(
    row: catalogue.Row,
    evaluation: Evaluation | None,
    gates: Sequence[Gate],
    base: catalogue.Row | None,
    champion: dict[str, float] | None,
) -> VariantReport:
    judged: tuple[GateOutcome, ...] = ()
    if row.variant != catalogue.BASE:
        judged = _outcomes(check(gates, row.metrics, base.metrics if base else None, champion, row.missing))
        if objection := measured_elsewhere(row, base):
            judged = (GateOutcome(text=objection, passed=False, metric=OUTDATED),)
    return VariantReport(
        variant=row.variant,
        version=str(row.version),
        aliases=row.aliases,
        chain=_chain(row),
        metrics=row.metrics,
        missing=row.missing,
        per_class=tuple(
            ClassChange.model_validate(entry.model_dump(include=set(ClassChange.model_fields)))
            for entry in (evaluation.per_class if evaluation is not None else ())
        ),
        gates=judged,
    )


def _other(row: catalogue.Row, note: str, base: catalogue.Row | None, gates: Sequence[Gate]) -> VariantReport:
    """A version that the recipe does not make, by what it is worth today."""
    stands = standing(row, base, gates)
    judged = _outcomes(stands.results)
    if stands.objection:
        judged = (GateOutcome(text=stands.objection, passed=False, metric=OUTDATED),)
    shown = _variant(stands.row, None, (), base, None)
    return shown.model_copy(update={"gates": judged, "note": note})


def _others(
    known: Sequence[catalogue.Row], past: Sequence[records.Entry], shown: set[int]
) -> list[tuple[catalogue.Row, str]]:
    """The versions to show beside the recipe's own, and why."""
    last = next((entry for entry in reversed(past) if entry.action != "kept"), None)
    found = []
    for row in known:
        if row.version in shown:
            continue
        if CHAMPION in row.aliases:
            found.append((row, EARLIER))
        elif last is not None and last.deposed and row.version == last.before:
            found.append((row, DEPOSED))
    return found


def _outcomes(results: Iterable[GateResult]) -> tuple[GateOutcome, ...]:
    return tuple(GateOutcome(text=result.text, passed=result.passed, metric=result.gate.metric) for result in results)


def _chain(row: catalogue.Row) -> tuple[Step, ...]:
    """The techniques of a version, of which a recipe may write `NAME` or `{NAME: FIELDS}`."""
    steps = []
    for step in row.chain:
        if isinstance(step, str):
            steps.append(Step(technique=step))
        elif isinstance(step, dict) and "technique" in step:
            steps.append(Step.model_validate(step))
        elif isinstance(step, dict):
            ((technique, parameters),) = step.items()
            steps.append(Step.model_validate({"technique": technique, "parameters": parameters or {}}))
    return tuple(steps)


def _champion(client: MlflowClient, name: str) -> catalogue.Row | None:
    for row in catalogue.versions(client, name):
        if CHAMPION in row.aliases:
            return row
    return None


def _evaluations(client: MlflowClient, rows: Sequence[catalogue.Row]) -> dict[int, Evaluation]:
    """Every figure of each version, from the run that registered it."""
    from mlflow.exceptions import MlflowException

    from paddlepress.evaluation.result import Evaluation
    from paddlepress.registry.integrity import EVALUATION

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
                    "Run the recipe, which registers it again"
                ) from None
            found[row.version] = Evaluation.load(Path(path))
    return found


def _dataset(rows: Sequence[catalogue.Row], evaluations: dict[int, Evaluation]) -> DatasetSummary:
    evaluation = evaluations[rows[0].version]
    classes = evaluation.per_class
    names = []
    for step in rows[0].lineage:
        parameters = step.get("parameters") if isinstance(step, dict) else None
        names.append(str(parameters.get("data", "")) if isinstance(parameters, dict) else "")
    return DatasetSummary(
        # An imported model brings the data it was trained on; the latest step is this pipeline's own.
        name=next((name for name in reversed(names) if name), "test data"),
        test_examples=evaluation.test_examples or sum(entry.count for entry in classes),
        classes=len(classes),
        group=evaluation.group,
    )
