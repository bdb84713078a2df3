"""Recipes and the registry from Python, as `import paddlepress as pp` offers them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress_pipelines.cli.options import DEFAULT_HOME

if TYPE_CHECKING:
    import pandas as pd

    from paddlepress.registry.promotion import Decision
    from paddlepress_pipelines.local.run import RunResult


def run(
    recipe: str | Path, home: str | Path = DEFAULT_HOME, *, fresh: bool = False, workers: int | None = None
) -> RunResult:
    """Run a recipe on this machine, from data to a decision, as `paddlepress run` does.

    Args:
        recipe: the YAML file.
        home: where the registry, artifacts, cache and runs live.
        fresh: make everything again, whatever is cached.
        workers: tasks at once; by default one a core, at most 4.

    Raises:
        UsageError: the recipe is not valid; all that is wrong is in its `mistakes`.
        RunInUse: another run is at work in `home`.
    """
    from paddlepress_pipelines.cli.output import console
    from paddlepress_pipelines.local.run import run_recipe
    from paddlepress_pipelines.recipe import load

    return run_recipe(load(Path(recipe), build=True), Path(home), console(), fresh=fresh, workers=workers)


def compare(name: str, home: str | Path = DEFAULT_HOME) -> pd.DataFrame:
    """The variants of the recipe that was last run under a name, one a row, as `paddlepress compare` shows them.

    Args:
        name: the registered model.
        home: where the registry is, unless MLFLOW_TRACKING_URI names a server.

    Raises:
        RegistryError: the registry can't be reached, or nothing is registered under the name.
    """
    import pandas as pd

    from paddlepress.registry.policy import load_policy
    from paddlepress.report import comparison
    from paddlepress_pipelines.open_registry import opened

    with opened(Path(home)) as client:
        policy = load_policy(client, name)
        report = comparison.compare(client, name, policy.gates, policy.objective, variants=list(policy.variants))
    return pd.DataFrame(comparison.flat_rows(report))


def promote(name: str, variant: str | None = None, home: str | Path = DEFAULT_HOME) -> Decision:
    """Decide which variant goes to production, as `paddlepress promote` does; the reason is in the decision.

    Args:
        name: the registered model.
        variant: promote this one, if it passes its gates; by default the best that does.
        home: where the registry is, unless MLFLOW_TRACKING_URI names a server.

    Raises:
        RegistryError: the registry can't be reached, or nothing is registered under the name.
    """
    from paddlepress.registry import promotion
    from paddlepress.registry.policy import load_policy
    from paddlepress_pipelines.open_registry import opened

    with opened(Path(home)) as client:
        return promotion.promote(client, Path(home), name, load_policy(client, name), variant)
