"""The component that writes the report."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from paddlepress_components import entry


def write_report(*, comparison: Any, decision: Any, report: Any) -> None:
    """Write one HTML page that opens offline: charts, table, per-class changes, chains and the decision.

    Args:
        comparison: input; what `compare` found.
        decision: input; what `promote` decided.
        report: output; the page.
    """
    with entry.task():
        from paddlepress.core import files
        from paddlepress.report.comparison import decided
        from paddlepress.report.data import ReportData
        from paddlepress.report.render import render

        data = ReportData.model_validate_json(Path(comparison.path).read_text(encoding="utf-8"))
        outcome = json.loads(Path(decision.path).read_text(encoding="utf-8"))
        files.write_text(Path(report.path), render(decided(data, outcome)))


@cache
def component() -> Any:
    """The Kubeflow component."""
    from paddlepress_components.factory import Signature, build
    from paddlepress_components.traits import Traits

    return build(
        Signature(
            name="report",
            summary="Write the comparison and the decision as one HTML page.",
            call="paddlepress_components.delivery.report:write_report",
            inputs={
                "comparison": ("Artifact", "What compare found."),
                "decision": ("Artifact", "What promote decided."),
            },
            outputs={"report": ("HTML", "The page.")},
            traits=Traits(kept=False, networks=False),
        )
    )
