"""What `import paddlepress as pp` offers: models, techniques and data in memory, without a recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core import compute
from paddlepress.core.errors import UsageError
from paddlepress.core.progress import Lines, Progress

if TYPE_CHECKING:
    from paddlepress.data.memory import Data
    from paddlepress.evaluation.result import Evaluation
    from paddlepress.network.model import Model
    from paddlepress.techniques import Technique


def load(artifact: str | Path) -> Model:
    """A model from its artifact: a folder, or an `s3://` prefix.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    compute.prepare()
    from paddlepress.artifact import store
    from paddlepress.core.storage import fetch

    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        return store.load(fetch(str(artifact), Path(scratch) / "artifact"))


def save(model: Model, directory: str | Path) -> None:
    """Write a model as an artifact, which `load` and a recipe's `base: {artifact: ...}` take.

    Raises:
        ArtifactError: a weight has left the grid that it was quantized to.
    """
    from paddlepress.artifact import store

    store.save(model, Path(directory))


def train(
    architecture: str,
    data: Data,
    *,
    arguments: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> Model:
    """Train a base model from fresh weights.

    Args:
        architecture: a registered name, or `vision/NAME` of `paddle.vision.models`.
        data: what it learns from, see `pp.from_arrays`.
        arguments: what the architecture is built with.
        seed: of the first weights and of everything random in training.
        device: where Paddle computes: `cpu`, `gpu`, or `auto`, which takes a GPU if there is one.
        progress: shows how far training has come; by default lines.
        settings: fields of a recipe's `train`, such as `epochs=3`.

    Raises:
        UsageError: an unknown architecture, argument or setting.
        TechniqueRefused: the network can't be deployed.
    """
    compute.prepare()
    from pydantic import ValidationError

    from paddlepress.core.fields import explain_all
    from paddlepress.deployment.export import check_exportable
    from paddlepress.network.interface import check_supported
    from paddlepress.network.model import Model
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.training.base_training import train_base
    from paddlepress.training.settings import TrainingSettings

    try:
        chosen = TrainingSettings(**settings)
    except ValidationError as error:
        raise UsageError(*explain_all(error, TrainingSettings)) from None
    compute.use_device(device)
    reference = ArchitectureRef(name=architecture, arguments=arguments or {})
    dataset = data.learning.through(data.learning.statistics)
    untrained = Model.build(reference, dataset.inputs, dataset.task)
    check_supported(untrained)
    check_exportable(untrained)
    return train_base(reference, dataset, chosen, seed=seed, device=device, progress=progress or Lines())


def compress(
    model: Model,
    technique: str | Technique,
    data: Data,
    *,
    base: Model | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **fields: Any,
) -> Model:
    """Apply a technique to a copy of a model.

    Args:
        model: what is compressed; it does not change.
        technique: a registered name, such as `prune-filters`, or a technique with its fields.
        data: what the technique may see: its training, validation and calibration splits.
        base: the uncompressed model, which teaches where a technique distils; by default `model`.
        seed: what every random choice follows.
        device: where Paddle computes.
        progress: shows how far it has come; by default lines.
        fields: of the technique named, such as `ratio=0.5`.

    Raises:
        UsageError: an unknown technique or field, or a value that it does not take.
        TechniqueRefused: the technique has no meaning on this model.
    """
    compute.prepare()
    from paddlepress import techniques

    if isinstance(technique, str):
        chosen, name = techniques.technique(technique, fields), technique
    elif fields:
        raise UsageError(f"{', '.join(fields)}: fields go with a technique's name; this one has its fields already")
    else:
        chosen, name = technique, ""
    dataset = data.learning.for_model(model)
    context = techniques.Context(
        train=dataset.split("train"),
        validation=dataset.split("validation"),
        calibration=dataset.split("calibration"),
        base=base or model,
        seed=seed,
        device=device,
        progress=progress or Lines(),
    )
    return techniques.run(chosen, model, context, name=name)


def evaluate(
    model: Model, base: Model, data: Data, *, latency_seconds: float = 1.5, progress: Progress | None = None
) -> Evaluation:
    """Export a model, and measure what would be deployed beside its base model, on test data.

    Args:
        model: the variant; it may be the base model itself.
        base: what it is compared with.
        data: of which the test split is used.
        latency_seconds: about how long each latency comparison may take.
        progress: is told what is being measured; by default lines.

    Raises:
        TechniqueRefused: the network can't be exported, or its graph computes something else.
    """
    from paddlepress.artifact import store
    from paddlepress.evaluation.evaluate import evaluate as measure
    from paddlepress.evaluation.evaluate import exported

    progress = progress or Lines()
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        places = [Path(scratch) / name for name in ("model", "base")]
        for found, place in zip((model, base), places, strict=True):
            store.save(found, place)
        subject, reference = (exported(place, place.with_suffix(".deployable"), data.test) for place in places)
        return measure(subject, reference, data.test, progress, latency_seconds)
