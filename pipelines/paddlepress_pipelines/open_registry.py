"""The registry of a home directory, as commands and notebooks open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(home: Path) -> Iterator[Any]:
    """The registry of a home directory, which must be there unless a server is configured; failures are one line."""
    import os

    from paddlepress.core.errors import RegistryError
    from paddlepress.registry import connection, location
    from paddlepress.registry.failures import told

    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / location.DATABASE).exists():
        raise RegistryError(
            f"there is no registry in {home}. Run a recipe first, or give --home or MLFLOW_TRACKING_URI"
        )
    with told(location.tracking_uri(home)):
        yield connection.connect(home)
