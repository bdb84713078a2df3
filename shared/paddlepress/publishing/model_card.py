"""The model card of a published version: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from paddlepress.deployment.predictor import stored_form
from paddlepress.evaluation.metrics import known
from paddlepress.publishing.facts import VersionFacts

_MANY_CLASSES = 20


def model_card(facts: VersionFacts) -> str:
    """The card in Markdown, of what the registry holds."""
    row = facts.row
    parts = [
        f"# {_text(facts.name)}, version {row.version}",
        f"Variant `{_code(row.variant)}`, registered {row.created:%Y-%m-%d %H:%M} UTC. {_sentence(facts)}",
        "## What it does",
        _interface(facts),
        "## Data",
        _data(facts),
        "## Figures",
        _figures(facts),
        *_groups(facts),
        "## Gates",
        _gates(facts),
        "## How it was made",
        _lineage(facts),
        "## Where it comes from",
        _table(("what", "SHA-256 or id"), _origin(facts)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sentence(facts: VersionFacts) -> str:
    if facts.promotion is None:
        return "It was never promoted to champion."
    return f"Champion since {facts.promotion.time:%Y-%m-%d %H:%M} UTC: {_text(facts.promotion.reason)}."


def _interface(facts: VersionFacts) -> str:
    model = facts.model
    taken = []
    for spec in model.inputs:
        dtype, shape = stored_form(model, spec)
        inside = model.preprocessing.of(spec.name) if model.preprocessing is not None else None
        done = f"; {_text(inside.text())} is part of the model" if inside is not None else ""
        taken.append(f"- takes `{_code(spec.name)}`: {dtype} [{', '.join(['batch', *map(str, shape)])}]{done}")
    output = model.task.outputs[0]
    gives = f"- gives `{_code(output.name)}`: float32 [{', '.join(['batch', *map(str, output.shape)])}]"
    classes = [_text(each) for each in getattr(model.task, "classes", ())]
    told = f"- classes: {', '.join(classes)}" if 0 < len(classes) <= _MANY_CLASSES else ""
    about = f"{_text(model.task.describe()).rstrip('.')}. Network: `{_code(model.architecture.name)}`."
    return "\n".join([about, "", *taken, gives, *([told] if told else [])])


def _data(facts: VersionFacts) -> str:
    row, evaluation = facts.row, facts.evaluation
    examples = f"{evaluation.test_examples:,} " if evaluation is not None and evaluation.test_examples else ""
    trained, measured = (_code(each[:12] or "unknown") for each in (row.dataset_digest, row.test_data_digest))
    return (
        f"It was trained on data `{trained}` and measured on {examples}test examples `{measured}`, which nothing that "
        "learns or chooses has seen."
    )


def _figures(facts: VersionFacts) -> str:
    base = facts.base.metrics if facts.base is not None else {}
    rows = []
    for name, metric in known().items():
        if name in facts.row.metrics:
            before = metric.text(base[name]) if name in base else ""
            rows.append((f"{metric.label or name}: {metric.description}", metric.text(facts.row.metrics[name]), before))
    missing = [f"- {_text(name)} was not measured: {_text(why)}" for name, why in sorted(facts.row.missing.items())]
    table = _table(("figure", "this model", "base model"), rows) if rows else "Nothing was measured."
    environment = facts.evaluation.environment if facts.evaluation is not None else {}
    where = ", ".join(f"{key} {value}" for key, value in sorted(environment.items()))
    return "\n\n".join(filter(None, [table, "\n".join(missing), _text(f"Measured with {where}." if where else "")]))


def _groups(facts: VersionFacts) -> list[str]:
    groups = facts.evaluation.per_class if facts.evaluation is not None else []
    if not groups:
        return []
    rows = [
        (group.name, f"{group.count:,}", f"{group.accuracy:.2f}", f"{group.base_accuracy:.2f}", f"{group.change:+.2f}")
        for group in groups
    ]
    return ["### By group", _table(("group", "test examples", "%", "base model %", "change"), rows)]


def _gates(facts: VersionFacts) -> str:
    said = facts.promotion.gates if facts.promotion is not None else ()
    return "\n".join(f"- {_text(each)}" for each in said) or "No gate judged it."


def _lineage(facts: VersionFacts) -> str:
    steps = []
    for number, step in enumerate(facts.model.lineage, 1):
        fields = ", ".join(f"{key}: {json.dumps(value)}" for key, value in step.parameters.items())
        about = f" ({_text(fields)})" if fields else ""
        steps.append(f"{number}. `{_code(step.technique)}`, {_text(step.version)}, seed {step.seed}{about}")
    return "\n".join(steps) or "Its history is not known."


def _origin(facts: VersionFacts) -> list[tuple[str, str]]:
    row = facts.row
    found = {"model": row.model_digest, **facts.digests, "pipeline run": row.pipeline_run, "MLflow run": row.run_id}
    return [(key.replace("_", " "), value) for key, value in found.items() if value]


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    """Text that Markdown shows as it is."""
    flat = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", flat)


def _code(value: object) -> str:
    """Text within backquotes."""
    return " ".join(str(value).replace("`", "'").split())
