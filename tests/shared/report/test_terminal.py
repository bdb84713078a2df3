from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.terminal import show, table


def printed(rows: tuple[VariantReport, ...], width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table(rows, width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [100, 140])
def test_every_figure_is_whole_on_a_wide_terminal(report: ReportData, width: int) -> None:
    """Where there is room every column is shown, and the champion is marked."""
    text = printed(report.variants, width)
    assert "…" not in text
    line = next(line for line in text.splitlines() if line.startswith("filters50-int8"))
    assert line.split() == [
        *("filters50-int8", "7", "99.05", "±0.19", "0.12", "216kB", "7.81×", "1.19M", "0.78×", "2.65×", "✓", "2/2")
    ]
    assert "★ champion" in text


@pytest.mark.parametrize("width", [56, 60, 80])
def test_a_narrow_terminal_loses_columns_but_no_name(report: ReportData, width: int) -> None:
    """Names and aliases stay on one line each, no figure is cut, and no line is longer than the terminal."""
    several = report.variants[6].model_copy(update={"aliases": ("baseline", "challenger", "champion")})
    text = printed((*report.variants[:6], several, *report.variants[7:]), width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for variant in report.variants:
        assert any(line.startswith(f"{variant.variant} ") for line in lines), variant.variant
    assert sum("champion" in line for line in lines) == 1
    assert "baseline, challenger, ★ champion" in text
    assert "99.05" in text


def test_the_gates_column_names_what_was_missed(report: ReportData) -> None:
    """A variant that misses a gate shows the gate's metric, not a count alone."""
    line = next(line for line in printed(report.variants, 120).splitlines() if line.startswith("sparse90-int8"))
    assert line.rstrip().endswith("✗ drop")


def test_missed_gates_and_warnings_stand_below_the_table(make_report: Callable[..., ReportData]) -> None:
    """Below the table each missed gate is told with value and limit, and a slower champion with its speed."""
    stream = io.StringIO()
    show(make_report(), Console(file=stream, width=200, color_system=None))
    text = stream.getvalue()
    assert "sparse90-int8: drop 0.74 points, at most 0.30" in text
    assert "filters50-int8 is champion, and slower: 0.78× the base model's speed at batch 1" in text


def test_missing_figures_and_markup_are_harmless() -> None:
    """A variant without figures shows dashes, and brackets in its name stay brackets."""
    text = printed((VariantReport(variant="[red]x"),), 100)
    assert "[red]x" in text
    assert text.splitlines()[-1].count("—") == 9
