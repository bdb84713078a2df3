"""What stands for Kubeflow's artifacts in tests of components."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Artifact:
    """An artifact with a path, metadata and metrics."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.metadata: dict[str, Any] = {}

    def log_metric(self, metric: str, value: float) -> None:
        self.metadata[metric] = value
