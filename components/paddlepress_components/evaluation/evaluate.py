"""The component that measures a model on data that no technique has seen."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def evaluate(
    *,
    model: Any,
    deployable: Any,
    outputs: Any,
    base: Any,
    base_deployable: Any,
    base_outputs: Any,
    test_data: Any,
    evaluation: Any,
    metrics: Any,
    latency_seconds: float,
) -> None:
    """Measure what would be deployed of a model beside the base model.

    Args:
        model, deployable, outputs: inputs; the variant, and what `export` made of it.
        base, base_deployable, base_outputs: inputs; the same of the base model, which is exported once a run.
        test_data: input; the test split.
        evaluation: output; every figure, as JSON.
        metrics: output; the figures, for the Kubeflow UI.
        latency_seconds: how long each latency comparison takes at the most.
    """
    with entry.task():
        from paddlepress.core.progress import Lines
        from paddlepress.data.store import load as load_data
        from paddlepress.evaluation import outputs as kept
        from paddlepress.evaluation.evaluate import evaluate as measure

        dataset = load_data(Path(test_data.path))
        subject = kept.load(Path(outputs.path), Path(model.path), Path(deployable.path), dataset)
        reference = kept.load(Path(base_outputs.path), Path(base.path), Path(base_deployable.path), dataset)
        result = measure(subject, reference, dataset, Lines(), latency_seconds)
        result.save(Path(evaluation.path))
        for name, value in result.metrics.items():
            metrics.log_metric(name, float(value))


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="evaluate",
            summary="Measure accuracy, size, latency and memory of what would be deployed, beside the base model.",
            call="paddlepress_components.evaluation.evaluate:evaluate",
            inputs={
                "model": ("Model", "The variant."),
                "deployable": ("Model", "What would be deployed of it."),
                "outputs": ("Artifact", "What it says of the test split."),
                "base": ("Model", "The uncompressed model."),
                "base_deployable": ("Model", "What would be deployed of that."),
                "base_outputs": ("Artifact", "What that says of the test split."),
                "test_data": ("Dataset", "The test split."),
            },
            outputs={
                "evaluation": ("Artifact", "Every figure, as JSON."),
                "metrics": ("Metrics", "The figures."),
            },
            settings={
                "latency_seconds": (float, 1.5, "How long each of the four latency comparisons takes at the most."),
            },
            traits=Traits(
                alone=True,
                measures=True,
                modules=("paddle", "scipy.stats", "paddlepress.evaluation.outputs", "paddlepress.evaluation.evaluate"),
            ),
        )
    )
