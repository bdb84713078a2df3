"""Waiting for a registry that is locked or away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    stop_before_delay,
    wait_exponential,
)

from paddlepress.core.errors import RegistryError
from paddlepress.core.progress import Progress
from paddlepress.registry.failures import RegistryAway, told
from paddlepress.registry.location import redacted

T = TypeVar("T")

OUTAGE_PATIENCE_S = 300.0
"""How long the tasks of a run wait for a registry that has gone away."""
_LOCKED_PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 15.0


def steady(call: Callable[[], T], patience_s: float = _LOCKED_PATIENCE_S) -> T:
    """Call, and call again while SQLite says that another process has locked its file.

    SQLite refuses at once, whatever its busy timeout, where waiting could deadlock; nothing was written then.

    Raises:
        RegistryError: the file stayed locked.
    """

    def give_up(_: RetryCallState) -> NoReturn:
        raise RegistryError(f"another process has kept the registry's database locked for {patience_s:.0f} s")

    return Retrying(
        retry=retry_if_exception(lambda error: "database is locked" in str(error)),
        wait=wait_exponential(0.05, max=1.0, exp_base=1.6),
        stop=stop_after_delay(patience_s),
        retry_error_callback=give_up,
    )(call)


def through_outages(
    work: Callable[[], T], uri: str, progress: Progress, patience_s: float = OUTAGE_PATIENCE_S, pause_s: float = 1.0
) -> T:
    """Do work on a registry, and do it again, from its beginning, while the registry is away.

    Pauses double, from `pause_s` to a quarter of a minute. The progress says that it waits, and for what.

    Args:
        work: may be cut off anywhere and begun again.
        uri: of the registry.
        progress: told that the registry is away.
        patience_s: after so many seconds without success it is given up.
        pause_s: the first pause.

    Raises:
        RegistryError: the registry stayed away, or failed for a reason that waiting does not mend.
    """
    # MLflow alone would ask an absent server for four minutes without a word.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

    def once() -> T:
        with told(uri):
            return work()

    def pause(seconds: float) -> None:
        parts = max(1, round(seconds))
        about = f"the registry {redacted(uri)} does not answer: trying again in {parts} s"
        for _ in progress.track(range(parts), parts, about):
            time.sleep(seconds / parts)

    def give_up(state: RetryCallState) -> NoReturn:
        assert state.outcome is not None
        raise RegistryError(
            f"{state.outcome.exception()}; it did not answer for {state.seconds_since_start:.0f} s. What is finished "
            "is kept: when the registry is back, the same command goes on from here"
        )

    return Retrying(
        retry=retry_if_exception_type(RegistryAway),
        wait=wait_exponential(pause_s, max=_LONGEST_PAUSE_S),
        stop=stop_before_delay(patience_s),
        sleep=pause,
        retry_error_callback=give_up,
    )(once)
