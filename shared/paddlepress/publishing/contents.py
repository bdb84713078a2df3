"""The files of a version, made from what the registry holds: see `manifest` for what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from paddlepress import __version__
from paddlepress.deployment import single_onnx_file
from paddlepress.publishing import checksums, manifest, triton
from paddlepress.publishing.bill_of_materials import bill_of_materials
from paddlepress.publishing.facts import VersionFacts
from paddlepress.publishing.model_card import model_card


def make(facts: VersionFacts, deployable: Path, folder: Path) -> None:
    """Make every file of a version but its signature.

    Args:
        facts: of the version.
        deployable: its encoded files.
        folder: where to; must not exist.

    Raises:
        ArtifactError: the deployable is damaged, or larger than an ONNX file can be.
    """
    row = facts.row
    repository = folder / manifest.REPOSITORY / facts.name
    about = {"name": facts.name, "version": str(row.version), "variant": row.variant}
    model = single_onnx_file.write(deployable, repository / "1", about)
    (repository / triton.FILE).write_text(triton.config(facts.name, model), encoding="utf-8")
    shutil.copytree(deployable, folder / manifest.DEPLOYABLE)
    (folder / manifest.MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
    (folder / manifest.BILL_OF_MATERIALS).write_bytes(bill_of_materials(facts, folder))
    said = {
        "name": facts.name,
        "version": row.version,
        "variant": row.variant,
        "model_digest": row.model_digest,
        "task": facts.model.task.model_dump(mode="json"),
        "created": row.created.isoformat(),
        "digests": facts.digests,
        "metrics": row.metrics,
        "gates": list(facts.promotion.gates) if facts.promotion is not None else [],
        "reason": facts.promotion.reason if facts.promotion is not None else "",
        "lineage": [step.model_dump(mode="json") for step in facts.model.lineage],
        "made_by": f"paddlepress {__version__}",
    }
    manifest.write(folder, said)
    sums = checksums.of_folder(folder)
    (folder / checksums.FILE).write_bytes(checksums.text_of(sums))
