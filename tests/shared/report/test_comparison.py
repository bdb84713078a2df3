"""The comparison as a table for other programs."""

from __future__ import annotations

from io import StringIO

import pandas as pd

from paddlepress.report.comparison import flat_rows, frame
from paddlepress.report.data import ReportData


def test_a_table_has_a_line_for_each_variant(report: ReportData) -> None:
    """Its columns are those of `compare --json`; whole numbers are whole where another variant lacks theirs."""
    first, *others = report.variants
    metrics = {name: value for name, value in first.metrics.items() if name != "bytes"}
    lacking = report.model_copy(update={"variants": (first.model_copy(update={"metrics": metrics}), *others)})
    found = frame(lacking)
    assert list(found["variant"]) == [variant.variant for variant in report.variants]
    assert list(found.columns) == list(flat_rows(lacking)[0])
    assert found["bytes"].isna().tolist() == [True] + [False] * len(others)
    text = found.to_csv(index=False)
    assert f",{int(others[0].metrics['bytes'])}," in text
    read = pd.read_csv(StringIO(text))
    assert read["accuracy"].tolist() == [variant.metrics["accuracy"] for variant in report.variants]
