"""What is deployed, counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


class DeployedSize(Measurement):
    """Bytes of the deployed files, and the numbers in them."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "bytes": Metric(
            "bytes", False, "size of all files that are deployed: graph, encoded weights, manifest", 0, "Size"
        ),
        "ratio": Metric(
            "x", True, "float32 bytes of the base model's weights, divided by the bytes deployed", label="Ratio"
        ),
        "parameters": Metric("", False, "numbers in weights and buffers", 0, "Parameters"),
        "nonzeros": Metric("", False, "numbers in weights and buffers that are not zero", 0, "Non-zeros"),
        "sparsity": Metric("", None, "share of weights that are zero, 0 to 1", 3, "Sparsity"),
    }
    position: ClassVar[int] = 20
    required: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Count the files and what they hold."""
        from paddlepress.artifact import manifest
        from paddlepress.evaluation import size

        counts, deployed = size.count(subject.deployable), sum(size.file_bytes(subject.deployable).values())
        return {
            "bytes": deployed,
            "ratio": size.ratio(manifest.read(reference.artifact), deployed),
            "parameters": counts.parameters,
            "nonzeros": counts.nonzeros,
            "sparsity": counts.sparsity,
        }
