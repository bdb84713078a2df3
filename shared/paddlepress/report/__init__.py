"""The comparison of a recipe's variants, as one page a team can decide on and as a table in the terminal."""

from __future__ import annotations

from paddlepress.report.data import (
    Champion,
    ClassChange,
    DatasetSummary,
    GateOutcome,
    ReportData,
    Step,
    VariantReport,
)
from paddlepress.report.render import render

__all__ = [
    "Champion",
    "ClassChange",
    "DatasetSummary",
    "GateOutcome",
    "ReportData",
    "Step",
    "VariantReport",
    "render",
]
