"""What runs inside a component: errors in one line, Paddle's settings, numbers as they were given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from paddlepress.core.errors import PaddlepressError, UsageError
from paddlepress.core.files import disk_full

if TYPE_CHECKING:
    from mlflow import MlflowClient

ERROR_PREFIX = "PADDLEPRESS-ERROR "  # nothing else prints this: logging writes "ERROR:"
WARNINGS = "warnings"
"""In the metadata of an output: sentences that whoever reads the run should see."""
HOME_VARIABLE = "PADDLEPRESS_HOME"
CHECKPOINT_VARIABLE = "PADDLEPRESS_CHECKPOINT"
RUN_VARIABLE = "PADDLEPRESS_RUN"
SEEDS = 2**31  # how many there are, from 0


M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class MetricsArtifact(Protocol):
    """The part of `dsl.Metrics` that is used."""

    def log_metric(self, metric: str, value: float) -> None: ...


@contextmanager
def task() -> Iterator[None]:
    """The body of a component: a paddlepress error becomes one line and an exit code."""
    from paddlepress.core import compute

    compute.prepare()
    try:
        yield
    except PaddlepressError as error:
        print(f"{ERROR_PREFIX}{error}", flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        full = disk_full(error, home(), Path(os.environ.get("TMPDIR", "/tmp")))
        if full is None:
            raise
        print(f"{ERROR_PREFIX}{full}", flush=True)
        sys.exit(full.exit_code)


class OutputArtifact(Protocol):
    """The part of an output artifact that is used."""

    metadata: dict[str, Any]


def warn(output: OutputArtifact, *texts: str) -> None:
    """Keep warnings with an output, for whoever shows the run, and print them to the log."""
    for text in filter(None, texts):
        print(f"warning: {text}", flush=True)
        output.metadata[WARNINGS] = [*output.metadata.get(WARNINGS, ()), text]


def home() -> Path:
    """Where the registry and its artifacts are kept when no server is configured."""
    return Path(os.environ.get(HOME_VARIABLE) or ".paddlepress")


def on_registry(work: Callable[[MlflowClient], T]) -> T:
    """Do work on the registry, and do it again from its beginning if the registry goes away meanwhile.

    Raises:
        RegistryError: the registry can't be reached, or stays away.
    """
    from paddlepress.core.progress import Lines
    from paddlepress.registry import connection, location, retrying

    return retrying.through_outages(lambda: work(connection.connect(home())), location.tracking_uri(home()), Lines())


def checkpoint() -> Path | None:
    """A directory that survives a kill of this task, where whoever started it provides one."""
    value = os.environ.get(CHECKPOINT_VARIABLE)
    return Path(value) if value else None


def pipeline_run() -> str:
    """The identity of the pipeline run that this task belongs to; empty outside one."""
    return os.environ.get(RUN_VARIABLE, "")


def whole_numbers(value: Any) -> Any:
    """Undo what a Kubeflow struct does to integers inside lists and dicts: there 2 becomes 2.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(item) for item in value]
    return value


def parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """A component's parameters as they were given: see `whole_numbers`."""
    return {
        name: whole_numbers(value) if isinstance(value, Mapping | list | tuple) else value
        for name, value in values.items()
    }


def validated(model: type[M], value: Any, where: str) -> M:
    """What a component was given, as the pydantic model it must be.

    Args:
        model: the class.
        value: its fields, as Kubeflow passes them.
        where: the input's name, for the message.

    Raises:
        UsageError: it does not fit; one line with the key, the bad value and what is valid.
    """
    from paddlepress.core.fields import explain

    try:
        return model.model_validate(whole_numbers(value))
    except ValidationError as error:
        raise UsageError(f"{where}: {explain(error, model)}") from None


def check_seed(seed: int) -> None:
    """Refuse a seed that a recipe may not have either.

    Raises:
        UsageError: it is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise UsageError(f"seed is {seed}. Valid: 0 to {SEEDS - 1}")


def logger(metrics: MetricsArtifact) -> Callable[[str, float, int], None]:
    """A metric logger that keeps the latest value of each metric in a component's metrics."""

    def log(name: str, value: float, step: int) -> None:
        metrics.log_metric(name, float(value))

    return log
