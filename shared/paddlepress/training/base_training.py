"""Train the model that is to be compressed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.compute import seed_everything, use_device
from paddlepress.core.plugins import distribution_version
from paddlepress.core.progress import MetricLogger, Progress, Silent, log_nothing
from paddlepress.network.model import Model
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.training.context import TrainingContext
from paddlepress.training.loop import fit
from paddlepress.training.settings import TrainingSettings

if TYPE_CHECKING:
    from paddlepress.data import Dataset

TRAIN = "train"


def train_base(
    architecture: ArchitectureRef,
    dataset: Dataset,
    settings: TrainingSettings,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    log: MetricLogger = log_nothing,
) -> Model:
    """Build an architecture and train it on a data set's `train` split.

    Args:
        architecture: a registered name and its arguments.
        dataset: has `train` and `validation`; its preprocessing becomes the model's own.
        settings: how to train.
        seed: of the first weights and of everything random in training.
        device: where Paddle computes.
        checkpoint, progress, log: as of a `TrainingContext`.

    Returns:
        A model whose lineage holds this training.

    Raises:
        UsageError: an unknown architecture or argument.
        DataError: a split is missing, or inputs that the architecture does not fit.
        TrainingFailed: the loss is not a number.
    """
    use_device(device)
    seed_everything(seed)
    model = Model.build(architecture, dataset.inputs, dataset.task, preprocessing=dataset.preprocessing)
    context = TrainingContext(
        train=dataset.split("train"),
        validation=dataset.split("validation"),
        seed=seed,
        progress=progress or Silent(),
        log=log,
        checkpoint=checkpoint,
    )
    fit(model.network, model.task, context, settings)
    entry = LineageEntry(
        technique=TRAIN,
        version=distribution_version(TRAIN),
        parameters={**settings.model_dump(mode="json"), "data": dataset.name, "data_digest": dataset.digest},
        seed=seed,
    )
    return model.with_lineage(entry)
