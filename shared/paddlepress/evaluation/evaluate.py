"""Evaluate a model against the base model it came from, on held-out test data."""

from __future__ import annotations

import math
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paddlepress.artifact import store
from paddlepress.core.errors import PaddlepressError, UsageError
from paddlepress.core.progress import Progress
from paddlepress.data import StoredDataset, StoredSplit
from paddlepress.deployment.predictor import Predictor
from paddlepress.evaluation import size
from paddlepress.evaluation.measurement import Subject
from paddlepress.evaluation.metrics import measurements
from paddlepress.evaluation.result import ClassResult, Evaluation

if TYPE_CHECKING:
    from paddlepress.network.model import Model

_ROWS = 500  # are preprocessed at once, so that not all need to be in memory


def evaluate(
    subject: Subject,
    reference: Subject,
    test: StoredDataset,
    progress: Progress,
    budget_s: float = 1.5,
) -> Evaluation:
    """Measure what would be deployed of a model beside its base model.

    Args:
        subject: the model; its deployable preprocesses inputs itself.
        reference: its base model; it may be the same.
        test: held-out data that no technique has seen, as they are stored; of these the split `test`.
        progress: told what is being measured.
        budget_s: about how long each latency comparison may take.

    Raises:
        PaddlepressError: a figure that no evaluation can do without can't be measured.
        UsageError: a measurement gives a figure that it does not state.
    """
    split = test.split("test")
    measured: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, measurement in measurements().items():
        progress.note(f"measuring {name}")
        try:
            found = measurement.measure(subject, reference, split, budget_s)
        except (PaddlepressError, RuntimeError, ValueError) as error:
            if measurement.required:
                raise
            reason = " ".join(str(error).split())[-500:] or type(error).__name__
            missing |= dict.fromkeys(measurement.metrics, reason)
            continue
        if unknown := found.keys() - measurement.metrics.keys():
            told = ", ".join(sorted(unknown))
            raise UsageError(
                f"the measurement {name!r} gave {told}. It says that it gives: {', '.join(measurement.metrics)}"
            )
        for metric, value in found.items():
            if math.isfinite(value):
                measured[metric] = value
            else:
                missing[metric] = f"it came out as {value}"
    return Evaluation(
        primary=subject.model.task.primary,
        metrics=measured,
        test_examples=len(split),
        per_class=_groups(subject, reference, split),
        group=subject.model.task.group,
        missing=missing,
        environment=environment(),
        model_digest=subject.model.digest(),
        base_digest=reference.model.digest(),
        data_digest=test.digest,
        files=size.file_bytes(subject.deployable),
    )


def exported(artifact: Path, deployable: Path, test: StoredDataset) -> Subject:
    """A model, exported to what would be deployed of it.

    Args:
        artifact: of the model.
        deployable: where that is written.
        test: what it will be measured with.

    Raises:
        ArtifactError: the artifact is missing or damaged.
        TechniqueRefused: the network can't be exported, or its graph computes something else.
    """
    from paddlepress.deployment.export import export
    from paddlepress.deployment.verification import BATCHES

    model = store.load(artifact)
    # What is compared is two ways to compute one function: labels have no part in it and nothing can be fitted to it,
    # so the inputs that are measured with are the right ones, and no further data need to be here.
    export(model, artifact, deployable, model.prepare(test.split("test").inputs[: max(BATCHES)]))
    return deployed(artifact, deployable, test, model)


def deployed(artifact: Path, deployable: Path, test: StoredDataset, model: Model | None = None) -> Subject:
    """A model with a deployable that is there already, and what it says of test data.

    Args:
        artifact: of the model.
        deployable: its own.
        test: what it will be measured with.
        model: that of the artifact, if it is loaded already.

    Raises:
        ArtifactError: one of them is missing or damaged.
    """
    model, inputs = model or store.load(artifact), test.split("test").inputs
    outputs = Predictor.load(deployable).predict(inputs)
    parts = [model.predict(model.prepare(inputs[start : start + _ROWS])) for start in range(0, len(inputs), _ROWS)]
    return Subject(model, artifact, deployable, outputs, np.concatenate(parts))


def _groups(subject: Subject, reference: Subject, split: StoredSplit) -> list[ClassResult]:
    """Each group of the examples by itself, beside the base model's outputs."""
    rows, task = [], subject.model.task
    for name, chosen in task.groups(split.labels).items():
        mine, theirs = (task.score(each.outputs[chosen], split.labels[chosen]).value for each in (subject, reference))
        count = int(chosen.sum())
        rows.append(ClassResult(name=name, count=count, accuracy=mine, base_accuracy=theirs, change=mine - theirs))
    return rows


def environment() -> dict[str, str]:
    """What the numbers of this process depend on."""
    versions = {name: version(name) for name in ("paddlepress", "onnxruntime", "paddlepaddle", "numpy")}
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
