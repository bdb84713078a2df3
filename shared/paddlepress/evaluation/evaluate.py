"""Evaluate a model against the base model it came from, on held-out test data."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from paddlepress.artifact import store
from paddlepress.core.errors import PaddlepressError, TechniqueRefused
from paddlepress.core.progress import Progress
from paddlepress.data import StoredSplit
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.evaluation import latency, size
from paddlepress.evaluation.memory import peak_memory_mib
from paddlepress.evaluation.result import ClassResult, Evaluation
from paddlepress.network.model import Model
from paddlepress.spec.tensors import Array
from paddlepress.tasks import Task


def evaluate(
    model_dir: Path,
    base_dir: Path,
    test: StoredSplit,
    deployable_dir: Path,
    progress: Progress,
    *,
    data_digest: str = "",
    budget_s: float = 1.5,
    deployed: bool = False,
) -> Evaluation:
    """Export a model, and measure what is deployed beside the base model's deployable.

    Args:
        model_dir: artifact of the model.
        base_dir: artifact of the base model; may be the same.
        test: held-out data that no technique has seen, as it is stored: what is deployed preprocesses it itself.
        deployable_dir: where the model's deployable is written.
        progress: told what is being measured.
        data_digest: of the data set that `test` belongs to.
        budget_s: about how long each latency comparison may take.
        deployed: the deployable is there already, and is measured as it is.

    Raises:
        ArtifactError: an artifact is missing or damaged.
        TechniqueRefused: the network can't be exported, or its graph computes something else.
    """
    model, base = store.load(model_dir), store.load(base_dir)
    progress.note("exporting to ONNX")
    # What is compared is two ways to compute one function: labels have no part in it and nothing can be fitted to it,
    # so the inputs that are measured with are the right ones, and no further data need to be here.
    prepared = model.prepare(test.inputs)
    if not deployed:
        export(model, model_dir, deployable_dir, prepared)
    with tempfile.TemporaryDirectory(prefix="paddlepress-base-") as folder:
        base_deployable = Path(folder) / "base"
        export(base, base_dir, base_deployable, base.prepare(test.inputs))
        progress.note("predicting the test data")
        logits = Predictor.load(deployable_dir).predict(test.inputs)
        base_logits = Predictor.load(base_deployable).predict(test.inputs)
        measured = _scores(model.task, logits, base_logits, test.labels)
        measured["runtime_agreement"] = model.task.agreement(logits, model.predict(prepared))
        measured |= _size(deployable_dir, base_dir)
        missing: dict[str, str] = {}
        try:
            measured |= _macs(model, base)
        except TechniqueRefused as error:
            missing["macs"] = str(error)
        progress.note("measuring latency and memory")
        for batch in latency.BATCH_SIZES:
            sample = np.resize(prepared, (batch, *prepared.shape[1:]))
            times = latency.on_onnxruntime(base_deployable, deployable_dir, sample, budget_s)
            measured[f"latency_b{batch}_ms"] = times.variant_ms
            measured[f"speedup_b{batch}"] = times.speedup
            measured[f"speedup_b{batch}_low"], measured[f"speedup_b{batch}_high"] = times.low, times.high
            _attempt(
                measured,
                missing,
                f"paddle_speedup_b{batch}",
                lambda sample=sample: latency.on_paddle(base, model, sample, budget_s).speedup,  # type: ignore[misc]
            )
        _attempt(measured, missing, "peak_memory_mib", lambda: peak_memory_mib(deployable_dir))
    return Evaluation(
        metrics=measured,
        per_class=_groups(model.task, logits, base_logits, test.labels),
        missing=missing,
        environment=environment(),
        model_digest=model.digest(),
        base_digest=base.digest(),
        data_digest=data_digest,
        files=size.file_bytes(deployable_dir),
    )


def _attempt(measured: dict[str, float], missing: dict[str, str], name: str, measure: Callable[[], float]) -> None:
    """Measure something that a machine or runtime may not be able to do, or keep the reason why not."""
    try:
        measured[name] = measure()
    except (PaddlepressError, RuntimeError, ValueError, NotImplementedError) as error:
        missing[name] = " ".join(str(error).split())[-500:] or type(error).__name__


def _scores(task: Task, outputs: Array, base_outputs: Array, targets: Array) -> dict[str, float]:
    score, base = task.score(outputs, targets), task.score(base_outputs, targets)
    return {
        task.primary: score.value,
        f"{task.primary}_low": score.low,
        f"{task.primary}_high": score.high,
        "drop": base.value - score.value if task.higher_is_better else score.value - base.value,
        "agreement": task.agreement(outputs, base_outputs),
    }


def _groups(task: Task, outputs: Array, base_outputs: Array, targets: Array) -> list[ClassResult]:
    """Each group of the examples by itself, beside the base model's outputs."""
    rows = []
    for name, chosen in task.groups(targets).items():
        mine, theirs = (task.score(found[chosen], targets[chosen]).value for found in (outputs, base_outputs))
        count = int(chosen.sum())
        rows.append(ClassResult(name=name, count=count, accuracy=mine, base_accuracy=theirs, change=mine - theirs))
    return rows


def _size(deployable: Path, base: Path) -> dict[str, float]:
    from paddlepress.artifact import manifest as manifests

    counts, deployed = size.count(deployable), sum(size.file_bytes(deployable).values())
    return {
        "bytes": deployed,
        "ratio": size.ratio(manifests.read(base), deployed),
        "parameters": counts.parameters,
        "nonzeros": counts.nonzeros,
        "sparsity": counts.sparsity,
    }


def _macs(model: Model, base: Model) -> dict[str, float]:
    from paddlepress.surgery.macs import macs

    mine, theirs = sum(macs(model).values()), sum(macs(base).values())
    return {"macs": mine, "macs_ratio": theirs / mine} if mine else {"macs": mine}


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
