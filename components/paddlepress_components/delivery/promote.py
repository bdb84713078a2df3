"""The component that decides which variant goes to production."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def promote(*, decision: Any, name: str) -> None:
    """Promote the best variant that passes its gates, as one decision with a written reason.

    Args:
        decision: output; the decision, as JSON.
        name: the registered model; its policy is the one that the last comparison set.
    """
    with entry.task():
        from paddlepress.core import files
        from paddlepress.registry import promotion
        from paddlepress.registry.policy import load_policy

        decided = entry.on_registry(
            lambda client: promotion.promote(client, entry.home(), name, load_policy(client, name))
        )
        files.write_text(Path(decision.path), decided.json())
        decision.metadata.update(reason=decided.reason)


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import REGISTRY, Traits

    return build(
        Signature(
            name="promote",
            summary="Promote the best variant that passes its gates.",
            call="paddlepress_components.delivery.promote:promote",
            outputs={"decision": ("Artifact", "What was decided, and why, as JSON.")},
            settings={"name": (str, "paddlepress", "The registered model.")},
            traits=Traits(registry=True, kept=False, networks=False, modules=REGISTRY),
        )
    )
