"""The components that bring data in, one a source, and keep the test set apart from everything else."""

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
        fields: of a `paddlepress.data.source.Source`, its name among them.
    """
    with entry.task():
        from paddlepress.core.progress import Lines
        from paddlepress.data.source import source_class
        from paddlepress.data.store import prepare

        source = entry.validated(source_class(fields["source"]), fields, "data")
        summary = prepare(source, Path(data.path), Path(test_data.path), Lines())
        data.metadata.update(summary)
        test_data.metadata.update(summary)


@cache
def component(source: str) -> Any:
    """The Kubeflow component of a source.

    Raises:
        UnknownName: there is no such source.
    """
    from paddlepress.data.source import source_class
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    chosen = source_class(source)
    return build(
        Signature(
            name=f"load_data_{source.replace('-', '_')}",
            summary=f"Load a data set and keep its test split apart: {(chosen.__doc__ or source).splitlines()[0]}",
            call="paddlepress_components.data.load_data:load_data",
            outputs={
                "data": ("Dataset", "Training, validation and calibration splits."),
                "test_data": ("Dataset", "The test split, which only evaluation sees."),
            },
            fields=chosen,
            traits=Traits(networks=False),
        )
    )
