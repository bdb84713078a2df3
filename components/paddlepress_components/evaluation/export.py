"""The component that makes of a model what is deployed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def export(*, model: Any, test_data: Any, deployable: Any, outputs: Any) -> None:
    """Export a model for deployment, and keep what it says of the test data.

    Args:
        model: input; the model.
        test_data: input; the test split, with which the deployable is compared with the network.
        deployable: output; ONNX graph, encoded weights and manifest.
        outputs: output; what the deployable and the network say of the test split.
    """
    with entry.task():
        from paddlepress.core.progress import Lines
        from paddlepress.data.store import load as load_data
        from paddlepress.evaluation import outputs as kept
        from paddlepress.evaluation.evaluate import exported

        dataset = load_data(Path(test_data.path))
        Lines().note("exporting to ONNX")
        subject = exported(Path(model.path), Path(deployable.path), dataset)
        kept.save(subject, dataset, Path(outputs.path))
        deployable.metadata.update(architecture=subject.model.architecture.name)


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="export",
            summary="Export a model to what is deployed of it, and keep what it says of the test data.",
            call="paddlepress_components.evaluation.export:export",
            inputs={
                "model": ("Model", "The model."),
                "test_data": ("Dataset", "The test split."),
            },
            outputs={
                "deployable": ("Model", "What is deployed: ONNX graph, encoded weights, manifest."),
                "outputs": ("Artifact", "What the deployable and the network say of the test split."),
            },
            traits=Traits(modules=("paddle", "paddlepress.evaluation.outputs", "paddlepress.evaluation.evaluate")),
        )
    )
