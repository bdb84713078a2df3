from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from paddlepress.report import render
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


def test_another_task_is_shown_by_its_own_metric(make_report: Callable[..., ReportData]) -> None:
    """Of a regression the table, the page and its sentence speak of R squared and nowhere of accuracy."""
    metrics = {"r2": 55.0, "r2_low": 50.0, "r2_high": 60.0, "bytes": 20_000.0, "macs": 5_000.0, "latency_b1_ms": 0.1}
    better = {**metrics, "r2": 54.0, "drop": 1.0, "bytes": 5_000.0, "ratio": 4.0, "speedup_b1": 1.5}
    rows = (
        VariantReport(variant="base", version="1", metrics=metrics),
        VariantReport(variant="int8", version="2", chain=({"technique": "x"},), metrics=better),  # type: ignore[arg-type]
    )
    report = make_report(
        champion={"variant": "int8", "version": "2", "reason": "highest ratio"},
        variants=rows,
        primary="r2",
        dataset={"name": "table", "test_examples": 100, "classes": 0},
        objective="",
    )
    stream = io.StringIO()
    show(report, Console(file=stream, width=140, color_system=None))
    page = render(report)
    assert "R squared %" in stream.getvalue() and "54.00 ±5.00" in stream.getvalue()
    assert "1.00 points of R squared worse than the base model" in page and "R squared and size" in page
    assert "Accuracy" not in stream.getvalue() + page
