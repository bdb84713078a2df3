"""The component that measures a model on data that no technique has seen."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def evaluate(
    *,
    model: Any,
    base: Any,
    test_data: Any,
    deployable: Any,
    evaluation: Any,
    metrics: Any,
    latency_seconds: float,
) -> None:
    """Export a model for deployment, and measure what would be deployed beside the base model.

    Args:
        model, base: inputs; the variant, and what it is compared with.
        test_data: input; the test split.
        deployable: output; ONNX graph, encoded weights and manifest.
        evaluation: output; every figure, as JSON.
        metrics: output; the figures, for the Kubeflow UI.
        latency_seconds: about how long each latency comparison takes.
    """
    with entry.task():
        from paddlepress.core.progress import Lines
        from paddlepress.data.store import load as load_data
        from paddlepress.evaluation.evaluate import evaluate as measure
        from paddlepress.evaluation.evaluate import exported

        dataset, progress = load_data(Path(test_data.path)), Lines()
        progress.note("exporting to ONNX")
        with tempfile.TemporaryDirectory(prefix="paddlepress-base-") as folder:
            subject = exported(Path(model.path), Path(deployable.path), dataset)
            reference = exported(Path(base.path), Path(folder) / "base", dataset)
            result = measure(subject, reference, dataset, progress, latency_seconds)
        result.save(Path(evaluation.path))
        for name, value in result.metrics.items():
            metrics.log_metric(name, float(value))


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build

    return build(
        Signature(
            name="evaluate",
            summary="Measure accuracy, size, latency and memory of what would be deployed, beside the base model.",
            call="paddlepress_components.evaluation.evaluate:evaluate",
            inputs={
                "model": ("Model", "The variant."),
                "base": ("Model", "The uncompressed model."),
                "test_data": ("Dataset", "The test split."),
            },
            outputs={
                "deployable": ("Model", "What would be deployed: ONNX graph, encoded weights, manifest."),
                "evaluation": ("Artifact", "Every figure, as JSON."),
                "metrics": ("Metrics", "The figures."),
            },
            settings={
                "latency_seconds": (float, 1.5, "About how long each of the four latency comparisons takes."),
            },
        )
    )
