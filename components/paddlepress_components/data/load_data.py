"""The component that brings data in, and keeps the test set apart from everything else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def load_data(*, data: Any, test_data: Any, fields: dict[str, Any]) -> None:
    """Prepare a data set as two artifacts, so that no technique can see what variants are judged on.

    Args:
        data: output; training, validation and calibration splits.
        test_data: output; the test split alone.
        fields: of `paddlepress.data.config.DataConfig`.
    """
    with entry.task():
        from paddlepress.core.progress import Lines
        from paddlepress.data.config import DataConfig
        from paddlepress.data.store import prepare

        config = entry.validated(DataConfig, fields, "data")
        summary = prepare(config, Path(data.path), Path(test_data.path), Lines())
        data.metadata.update(summary)
        test_data.metadata.update(summary)


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress.data.config import DataConfig
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="load_data",
            summary="Load a data set and keep its test split apart.",
            call="paddlepress_components.data.load_data:load_data",
            outputs={
                "data": ("Dataset", "Training, validation and calibration splits."),
                "test_data": ("Dataset", "The test split, which only evaluation sees."),
            },
            fields=DataConfig,
            traits=Traits(networks=False),
        )
    )
