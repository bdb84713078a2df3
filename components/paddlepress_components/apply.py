"""Apply one technique to a model artifact: the body of every technique's component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddlepress_components import entry


def apply_technique(
    *,
    technique: str,
    model: Any,
    base: Any,
    data: Any,
    compressed_model: Any,
    metrics: Any,
    fields: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Load a model, apply a technique to it, save the result.

    Args:
        technique: its registered name.
        model, base, data: input artifacts with a `path`.
        compressed_model, metrics: output artifacts.
        fields: the technique's fields.
        seed: what every random choice follows.
        device: where Paddle computes.
    """
    with entry.task():
        from paddlepress import techniques
        from paddlepress.artifact import store
        from paddlepress.core import compute
        from paddlepress.core.progress import Lines
        from paddlepress.data.store import load as load_data

        entry.check_seed(seed)
        chosen = techniques.technique(technique, entry.parameters(fields))
        compute.use_device(device)  # weights are loaded to where it computes
        incoming = store.load(Path(model.path))
        dataset = load_data(Path(data.path)).for_model(incoming)
        context = techniques.Context(
            train=dataset.split("train"),
            validation=dataset.split("validation"),
            calibration=dataset.split("calibration"),
            base=store.load(Path(base.path)),
            seed=seed,
            device=device,
            progress=Lines(),
            log=entry.logger(metrics),
            checkpoint=entry.checkpoint(),
        )
        result = techniques.run(chosen, incoming, context, name=technique)
        manifest = store.save(result, Path(compressed_model.path))
        compressed_model.metadata.update(
            digest=manifest.digest, technique=technique, architecture=result.architecture.name
        )
        metrics.log_metric("parameters", float(sum(p.size for p in result.network.parameters())))
        metrics.log_metric("bytes", float(sum(file.bytes for file in manifest.files.values())))
