"""What the commands that speak to a Kubeflow server share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from paddlepress_pipelines.kubeflow.client import Cluster


def connected(host: str | None, token_file: Path | None, namespace: str | None) -> Cluster:
    """The server of a command's options; each pause before another try is a line on standard error.

    Raises:
        UsageError: no server is named.
        ClusterError: it can't be reached, or is not what is needed.
    """
    from paddlepress.core.errors import UsageError
    from paddlepress_pipelines.kubeflow.client import Cluster
    from paddlepress_pipelines.kubeflow.token import TokenSource

    if not host:
        raise UsageError("--host is missing: the URL of a Kubeflow Pipelines server, or KF_PIPELINES_ENDPOINT with it")

    def say(text: str) -> None:
        print(f"paddlepress: {text}", file=sys.stderr, flush=True)

    return Cluster(host, TokenSource(token_file), say=say).connect(namespace)


def when(time: datetime | None) -> str:
    """A time on this machine's clock, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time is not None else ""
