"""The component that trains a base model."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry

LOOK_AT = "its learning rate, its epochs, and whether labels and inputs of the data belong together"


def train(
    *,
    data: Any,
    model: Any,
    metrics: Any,
    architecture: str,
    arguments: dict[str, Any],
    seed: int,
    device: str,
    fields: dict[str, Any],
) -> None:
    """Train an architecture from fresh weights, if it can be deployed.

    Args:
        data: input; a data set with training and validation splits.
        model: output; the trained model, with a warning if it learned next to nothing.
        metrics: output; validation accuracy by epoch, the last one kept.
        architecture, arguments: what to build.
        seed, device: what random choices follow, and where Paddle computes.
        fields: of `paddlepress.training.settings.TrainingSettings`.
    """
    with entry.task():
        entry.check_seed(seed)
        from paddlepress.artifact import store
        from paddlepress.core.progress import Lines
        from paddlepress.data.store import load as load_data
        from paddlepress.deployment.export import check_exportable
        from paddlepress.evaluation.chance import near_chance
        from paddlepress.network.interface import check_supported
        from paddlepress.network.model import Model
        from paddlepress.spec.origin import ArchitectureRef
        from paddlepress.training.base_training import train_base
        from paddlepress.training.settings import TrainingSettings

        settings = entry.validated(TrainingSettings, fields, "train")
        reference = entry.validated(ArchitectureRef, {"name": architecture, "arguments": arguments}, "train")
        stored = load_data(Path(data.path))
        dataset = stored.through(stored.statistics)
        # Before anything is spent on it: what is not supported or can't be deployed is told now, not by each variant.
        fresh = Model.build(reference, dataset.inputs, dataset.task)
        check_supported(fresh)
        check_exportable(fresh)
        trained = train_base(
            reference,
            dataset,
            settings,
            seed=seed,
            device=device,
            checkpoint=entry.checkpoint(),
            progress=Lines(),
            log=entry.logger(metrics),
        )
        manifest = store.save(trained, Path(model.path))
        model.metadata.update(digest=manifest.digest, architecture=architecture)
        entry.warn(model, near_chance(trained, dataset.split("validation"), LOOK_AT))


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress.training.settings import TrainingSettings
    from paddlepress_components.factory import DEVICE, SEED, Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="train",
            summary="Train a base model.",
            call="paddlepress_components.training.train:train",
            inputs={"data": ("Dataset", "A data set with training and validation splits.")},
            outputs={
                "model": ("Model", "The trained model."),
                "metrics": ("Metrics", "Loss and validation accuracy of the last epoch."),
            },
            fields=TrainingSettings,
            settings={
                "architecture": (str, "lenet", "A registered architecture's name, or vision/NAME."),
                "arguments": (dict, {}, "What the architecture is built with."),
                "seed": SEED,
                "device": DEVICE,
            },
            traits=Traits(accelerator=True),
        )
    )
