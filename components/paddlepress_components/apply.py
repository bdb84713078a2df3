"""Apply techniques to a model artifact: the bodies of every technique's component, and of the one for whole chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress_components import entry
from paddlepress_components.variants import ChainedVariant

if TYPE_CHECKING:
    from paddlepress.techniques import Technique


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

        entry.check_seed(seed)
        chosen = techniques.technique(technique, entry.parameters(fields))
        _apply([(technique, chosen)], (model, base, data), (compressed_model, metrics), seed, device)


def apply_chain(
    *,
    model: Any,
    base: Any,
    data: Any,
    compressed_model: Any,
    metrics: Any,
    made: dict[str, Any],
    seed: int,
    device: str,
) -> None:
    """Load a model, apply what is left of a variant's chain to it, save the result.

    Args:
        model, base, data: input artifacts with a `path`.
        compressed_model, metrics: output artifacts.
        made: the variant; see `ChainedVariant`.
        seed: what every random choice follows.
        device: where Paddle computes.
    """
    with entry.task():
        from paddlepress import techniques

        entry.check_seed(seed)
        variant = entry.validated(ChainedVariant, made, "made")
        chain = [
            (step.technique, techniques.technique(step.technique, step.parameters, f"made.chain[{place}]"))
            for place, step in enumerate(variant.chain)
        ]
        _apply(chain[variant.begun :], (model, base, data), (compressed_model, metrics), seed, device)


def _apply(
    chain: Sequence[tuple[str, Technique]],
    given: tuple[Any, Any, Any],
    outputs: tuple[Any, Any],
    seed: int,
    device: str,
) -> None:
    """Apply techniques one after the other.

    Args:
        chain: them, with their registered names.
        given: the artifacts of the model, of the base model and of the data.
        outputs: the artifacts of the compressed model and of the metrics.
        seed: what every random choice follows, in each of them.
        device: where Paddle computes.
    """
    from paddlepress import techniques
    from paddlepress.artifact import store
    from paddlepress.core import compute
    from paddlepress.core.progress import Lines
    from paddlepress.data.store import load as load_data

    (model, base, data), (compressed_model, metrics) = given, outputs
    compute.use_device(device)  # weights are loaded to where it computes
    result = store.load(Path(model.path))
    dataset = load_data(Path(data.path)).for_model(result)
    context = techniques.Context(
        train=dataset.split("train"),
        validation=dataset.split("validation"),
        calibration=dataset.split("calibration"),
        base=store.load(Path(base.path)),
        seed=seed,
        device=device,
        progress=Lines(),
        log=entry.logger(metrics),
    )
    checkpoint = entry.checkpoint()
    for place, (name, chosen) in enumerate(chain):
        own = checkpoint / f"{place}-{name}" if checkpoint and len(chain) > 1 else checkpoint
        result = techniques.run(chosen, result, replace(context, checkpoint=own), name=name)
    manifest = store.save(result, Path(compressed_model.path))
    last = chain[-1][0] if chain else ""
    compressed_model.metadata.update(digest=manifest.digest, technique=last, architecture=result.architecture.name)
    metrics.log_metric("parameters", float(sum(p.size for p in result.network.parameters())))
    metrics.log_metric("bytes", float(sum(file.bytes for file in manifest.files.values())))


@cache
def component() -> Any:
    """The Kubeflow component that applies a whole chain, for loops over variants."""
    from paddlepress_components.factory import DEVICE, SEED, TECHNIQUE_INPUTS, TECHNIQUE_OUTPUTS, Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="compress",
            summary="Apply the techniques of a variant's chain, one after the other.",
            call="paddlepress_components.apply:apply_chain",
            inputs=TECHNIQUE_INPUTS,
            outputs=TECHNIQUE_OUTPUTS,
            settings={
                "made": (
                    dict,
                    {},
                    "The variant: `variant`, its name; `chain`, its techniques with their parameters; `begun`, how "
                    "many of them the model has been through; and `recipe_digest`.",
                ),
                "seed": SEED,
                "device": DEVICE,
            },
            traits=Traits(accelerator=True),
        )
    )
