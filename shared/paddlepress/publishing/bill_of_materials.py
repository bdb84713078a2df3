"""`bom.cdx.json`: what a published version is made of, as a CycloneDX 1.6 bill of materials with a model card.

The library that writes CycloneDX knows no model cards yet (`modelCard`, the standard's ML-BOM), so that this part is
put into its JSON; the whole keeps to the standard's schema.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress import __version__
from paddlepress.core.manifests import record
from paddlepress.deployment.predictor import stored_form
from paddlepress.evaluation.metrics import known
from paddlepress.publishing.facts import VersionFacts

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_DATA_REF = "training-data"
_LIBRARIES = ("paddlepress", "paddlepaddle", "onnxruntime", "numpy")


def bill_of_materials(facts: VersionFacts, folder: Path) -> bytes:
    """The text of the bill: the same for the same version and files.

    Args:
        facts: of the version.
        folder: where its files lie.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    row = facts.row
    model, parts = _model(facts), [*_libraries(facts), *_data(facts), *_files(folder)]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{facts.name}/{row.version}/{row.model_digest}"),
        metadata=BomMetaData(component=model, timestamp=row.created),
        components=parts,
    )
    bom.metadata.tools.components.add(
        Component(type=ComponentType.APPLICATION, name="paddlepress", version=__version__)
    )
    bom.register_dependency(model, parts)
    content = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    content["metadata"]["component"]["modelCard"] = _model_card(facts)
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _model(facts: VersionFacts) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    row = facts.row
    ancestors = []
    if row.base_digest and row.base_digest != row.model_digest:
        base = Component(
            type=ComponentType.MACHINE_LEARNING_MODEL, name=f"{facts.name}: base model", hashes=[_hash(row.base_digest)]
        )
        ancestors = [base]
    properties = {
        "variant": row.variant,
        "pipeline_run": row.pipeline_run,
        "mlflow_run": row.run_id,
        "recipe_digest": row.recipe_digest,
        "lineage": json.dumps([step.model_dump(mode="json") for step in facts.model.lineage]),
    }
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        name=facts.name,
        version=str(row.version),
        description=facts.model.task.describe(),
        hashes=[_hash(row.model_digest)] if row.model_digest else [],
        properties=[Property(name=f"paddlepress:{key}", value=value) for key, value in properties.items() if value],
        pedigree=Pedigree(ancestors=ancestors) if ancestors else None,
    )


def _libraries(facts: VersionFacts) -> list[Component]:
    """The packages that made the model and measured it, in the versions that did."""
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found: set[tuple[str, str]] = set()
    for step in facts.model.lineage:
        package, _, version = step.version.rpartition(" ")
        found.add((package or version, version if package else ""))
    if facts.evaluation is not None:
        environment = facts.evaluation.environment
        found |= {(name, environment[name]) for name in _LIBRARIES if name in environment}
    return [
        Component(
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}@{version}",
            name=name,
            version=version or None,
            purl=PackageURL("pypi", name=name, version=version) if version else None,
        )
        for name, version in sorted(found)
    ]


def _data(facts: VersionFacts) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentType

    digests = {_DATA_REF: facts.row.dataset_digest, "test-data": facts.row.test_data_digest}
    return [
        Component(type=ComponentType.DATA, bom_ref=name, name=name.replace("-", " "), hashes=_hashes(digest))
        if _hashes(digest)
        else Component(type=ComponentType.DATA, bom_ref=name, name=name.replace("-", " "), version=digest)
        for name, digest in digests.items()
        if digest
    ]


def _files(folder: Path) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentType

    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [
        Component(type=ComponentType.FILE, bom_ref=name, name=name, hashes=[_hash(record(paths[name]).sha256)])
        for name in sorted(paths)
    ]


def _hash(sha256: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=sha256)


def _hashes(digest: str) -> list[Any]:
    return [_hash(digest)] if re.fullmatch("[0-9a-f]{64}", digest) else []


def _model_card(facts: VersionFacts) -> dict[str, Any]:
    model, metrics = facts.model, facts.row.metrics
    measured = [
        {"type": name, "value": repr(metrics[name]), **_interval(name, facts)} for name in known() if name in metrics
    ]
    inputs = [
        f"{spec.name}: {dtype} [{', '.join(['batch', *map(str, shape)])}]"
        for spec in model.inputs
        for dtype, shape in [stored_form(model, spec)]
    ]
    output = model.task.outputs[0]
    card: dict[str, Any] = {
        "modelParameters": {
            "task": model.task.kind,
            "modelArchitecture": model.architecture.name,
            "datasets": [{"ref": _DATA_REF}] if facts.row.dataset_digest else [],
            "inputs": [{"format": text} for text in inputs],
            "outputs": [{"format": f"{output.name}: float32 [{', '.join(['batch', *map(str, output.shape)])}]"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": measured},
    }
    limits = [f"{name} was not measured: {why}" for name, why in sorted(facts.row.missing.items())]
    if limits:
        card["considerations"] = {"technicalLimitations": limits}
    return card


def _interval(name: str, facts: VersionFacts) -> dict[str, Any]:
    low, high = (facts.row.metrics.get(f"{name}_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return {}
    return {"confidenceInterval": {"lowerBound": repr(low), "upperBound": repr(high)}}
