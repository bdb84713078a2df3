from __future__ import annotations

import io

import pytest
from rich.console import Console

from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.terminal import table


def shown(rows: tuple[VariantReport, ...], width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table(rows))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_every_figure_is_whole_even_on_80_columns(report: ReportData, width: int) -> None:
    """No figure is cut off on a terminal of the usual width, and the champion is marked."""
    text = shown(report.variants, width)
    assert "…" not in text
    line = next(line for line in text.splitlines() if line.startswith("filters50-int8"))
    assert line.split() == [
        *("filters50-int8", "7", "99.05", "±0.19", "0.12", "216kB", "7.81×", "1.19M", "0.78×", "2.65×", "✓", "2/2")
    ]
    assert "★ champion" in text


def test_missing_figures_and_markup_are_harmless() -> None:
    """A variant without figures shows dashes, and brackets in its name stay brackets."""
    text = shown((VariantReport(variant="[red]x"),), 100)
    assert "[red]x" in text
    assert text.splitlines()[-1].count("—") == 9
