"""The component that registers a variant in MLflow."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress_components import entry
from paddlepress_components.variants import ChainedVariant

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(
    *,
    model: Any,
    deployable: Any,
    data: Any,
    evaluation: Any,
    registration: Any,
    name: str,
    made: dict[str, Any],
) -> None:
    """Register a variant once, with its metrics, parameters and lineage.

    Args:
        model, deployable, evaluation: inputs; the variant, what is deployed of it, and what was measured.
        data: input; the data set it was made from.
        registration: output; name, variant and version, as JSON.
        name: the registered model.
        made: the variant: its name and chain in the recipe, and the digest of what makes it; see `ChainedVariant`.
    """
    with entry.task():
        from paddlepress.core import files
        from paddlepress.data.store import digest as data_digest
        from paddlepress.evaluation.result import Evaluation
        from paddlepress.registry.register import Delivered, RegisteredVersion, Variant
        from paddlepress.registry.register import register as register_variant

        given = entry.validated(ChainedVariant, made, "made")
        chain = [step.model_dump(mode="json") for step in given.chain]
        made_from = data_digest(Path(data.path))
        variant = Variant(given.variant, chain, given.recipe_digest, made_from, entry.pipeline_run())
        delivered = Delivered(Path(model.path), Path(deployable.path), Evaluation.load(Path(evaluation.path)))

        def work(client: MlflowClient) -> RegisteredVersion:
            return register_variant(client, name, variant, delivered)

        registered = entry.on_registry(work)
        content = {"name": name, "variant": given.variant, "version": registered.version}
        files.write_text(Path(registration.path), json.dumps(content))
        registration.metadata.update(content)


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import REGISTRY, Traits

    return build(
        Signature(
            name="register",
            summary="Register a variant in MLflow with its metrics, parameters and lineage.",
            call="paddlepress_components.delivery.register:register",
            inputs={
                "model": ("Model", "The variant."),
                "deployable": ("Model", "What is deployed of it."),
                "data": ("Dataset", "The data set it was made from."),
                "evaluation": ("Artifact", "What was measured of it."),
            },
            outputs={"registration": ("Artifact", "Name, variant and version, as JSON.")},
            settings={
                "name": (str, "paddlepress", "The registered model."),
                "made": (
                    dict,
                    {},
                    "The variant: `variant`, its name; `chain`, its techniques as the recipe writes them; and "
                    "`recipe_digest`, SHA-256 of what makes it in the recipe.",
                ),
            },
            traits=Traits(registry=True, networks=False, modules=REGISTRY),
        )
    )
