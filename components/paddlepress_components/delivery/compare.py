"""The component that puts every registered variant side by side."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress_components import entry
from paddlepress_components.variants import MadeVariant

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.registry.policy import Policy
    from paddlepress.report.data import ReportData


def compare(
    *,
    base: Any,
    base_deployable: Any,
    base_outputs: Any,
    test_data: Any,
    comparison: Any,
    metrics: Any,
    name: str,
    title: str,
    variants: list[Any],
    gates: list[Any],
    objective: dict[str, Any],
    latency_seconds: float,
) -> None:
    """Compare the variants of a model, and set the policy by which the next promotion decides.

    A champion whose figures are of another base model, or of other test data, is measured again.

    Args:
        base, base_deployable, base_outputs: inputs; the uncompressed model of this run, and what `export` made of it.
        test_data: input; the test split of this run.
        comparison: output; everything the report shows, as JSON.
        metrics: output; how many variants there are and how many pass their gates.
        name: the registered model.
        title: the report's heading.
        variants: the variants to compare, in order: `variant` and `recipe_digest`, of what makes it in the recipe.
        gates, objective: as the recipe writes them.
        latency_seconds: about how long each latency comparison takes, should the champion be measured again.
    """
    with entry.task():
        from paddlepress.core import files
        from paddlepress.registry.policy import store_policy
        from paddlepress.registry.register import refresh
        from paddlepress.report.comparison import compare as compare_variants

        policy = policy_of(variants, gates, objective)
        reference = Path(base_outputs.path), Path(base.path), Path(base_deployable.path)

        def work(client: MlflowClient) -> ReportData:
            refresh(client, name, policy.variants)
            store_policy(client, name, policy)
            _remeasure(client, name, reference, Path(test_data.path), latency_seconds)
            return compare_variants(
                client, name, policy.gates, policy.objective, title=title, variants=list(policy.variants)
            )

        report = entry.on_registry(work)
        files.write_text(Path(comparison.path), report.model_dump_json(indent=1))
        judged = [variant for variant in report.variants if not variant.is_base and not variant.note]
        metrics.log_metric("variants", float(len(judged)))
        metrics.log_metric("passing_gates", float(sum(variant.failed_gates == 0 for variant in judged)))


def _remeasure(client: Any, name: str, base: tuple[Path, Path, Path], test_data: Path, latency_seconds: float) -> None:
    """Measure the champion beside this run's base model (outputs, artifact, deployable), if it never was."""
    from paddlepress.artifact import manifest as manifests
    from paddlepress.core.progress import Lines
    from paddlepress.data import store
    from paddlepress.evaluation import outputs as kept
    from paddlepress.evaluation.evaluate import deployed, evaluate
    from paddlepress.registry.remeasure import remeasure

    digest = store.digest(test_data)

    def measure(model: Path, deployable: Path) -> Any:
        progress = Lines()
        progress.note("measuring the champion beside this run's base model")
        test = store.load(test_data)
        return evaluate(deployed(model, deployable, test), kept.load(*base, test), test, progress, latency_seconds)

    base_digest = manifests.read(base[1]).digest
    remeasure(client, name, base_digest=base_digest, test_data_digest=digest, measure=measure)


def policy_of(variants: list[Any], gates: list[Any], objective: dict[str, Any]) -> Policy:
    """The policy that a component was given.

    Raises:
        UsageError: a part of it is not valid; one line that names the part.
    """
    from paddlepress.registry.gates import Gate, Objective
    from paddlepress.registry.policy import Policy

    made = [entry.validated(MadeVariant, value, f"variants[{place}]") for place, value in enumerate(variants)]
    return Policy(
        gates=tuple(entry.validated(Gate, value, f"gates[{place}]") for place, value in enumerate(gates)),
        objective=entry.validated(Objective, objective, "objective"),
        variants={found.variant: found.recipe_digest for found in made},
    )


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import REGISTRY, Traits

    return build(
        Signature(
            name="compare",
            summary="Compare every registered variant and judge each by the gates.",
            call="paddlepress_components.delivery.compare:compare",
            inputs={
                "base": ("Model", "The uncompressed model."),
                "base_deployable": ("Model", "What would be deployed of it."),
                "base_outputs": ("Artifact", "What it says of the test split."),
                "test_data": ("Dataset", "The test split."),
            },
            outputs={
                "comparison": ("Artifact", "Everything the report shows, as JSON."),
                "metrics": ("Metrics", "How many variants there are, and how many pass their gates."),
            },
            settings={
                "name": (str, "paddlepress", "The registered model."),
                "title": (str, "", "The report's heading."),
                "variants": (
                    list,
                    [],
                    "The variants to compare, each with the digest of what makes it; none compares all.",
                ),
                "gates": (list, [], "What a variant must fulfil to be promoted."),
                "objective": (dict, {"maximize": "ratio"}, "What makes one passing variant better than another."),
                "latency_seconds": (
                    float,
                    1.5,
                    "About how long each latency comparison takes, should the champion be measured again.",
                ),
            },
            traits=Traits(registry=True, kept=False, networks=False, modules=REGISTRY),
        )
    )
