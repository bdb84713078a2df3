"""The comparison for the terminal: a table that fits its width, and what to look at below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paddlepress.report import figures
from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.warnings import warnings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

CHAMPION = "champion"
VARIANT = "Variant"
GATES = "Gates"

_FIGURES = (
    ("drop", "Drop"),
    ("bytes", "Size"),
    ("ratio", "Ratio"),
    ("macs", "MACs"),
    ("speedup_b1", "Speed\nb1"),
    ("speedup_b32", "Speed\nb32"),
)
_SPARE = ("MACs", "V", "Speed\nb32", "Size", "Speed\nb1", "Drop", "Ratio")
"""The columns that give way on a narrow terminal, the first that goes first. Names, accuracy and gates stay."""
_GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: tuple[Text, ...]

    @property
    def width(self) -> int:
        """Cells of a terminal that the widest of its lines takes."""
        from rich.cells import cell_len

        lines = [*self.heading.splitlines(), *(line for cell in self.cells for line in cell.plain.splitlines())]
        return max(map(cell_len, lines), default=0)


def table(rows: Iterable[VariantReport], width: int, primary: str = "accuracy") -> Table:
    """Variants side by side; the one that has the alias `champion` stands out.

    On a narrow terminal whole columns are left out rather than names or figures cut; the gates' column names the
    metrics of those that were missed.

    Args:
        rows: variants in the order to show them.
        width: cells that a line of the terminal has.
        primary: the metric that says how good a variant is.

    Returns:
        A table for `rich.console.Console.print`. Names are text, never markup.
    """
    from rich import box
    from rich.table import Table

    shown = list(rows)
    columns = _fitting(_columns(shown, primary), width)
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        if column.heading in (VARIANT, GATES):
            # Only where the terminal is narrower than a name and its accuracy is a name continued on the next line.
            made.add_column(column.heading, overflow="fold", no_wrap=False)
        else:
            made.add_column(column.heading, justify="right", no_wrap=True)
    for number, row in enumerate(shown):
        style = "bold cyan" if CHAMPION in row.aliases else None
        made.add_row(*(column.cells[number] for column in columns), style=style)
    return made


def show(report: ReportData, console: Console) -> None:
    """Print a comparison: the table, which gates were missed and by how much, and the warnings."""
    from rich.text import Text

    console.print(table(report.variants, console.width, report.primary))
    missed = [(row.variant, gate.text) for row in report.variants for gate in row.gates if not gate.passed]
    if missed:
        console.print(Text("\nGates missed", "bold"))
        for variant, text in missed:
            console.print(Text.assemble(("  ✗ ", "yellow"), f"{variant}: {text}"))
    found = warnings(report)
    if found:
        console.print(Text("\nLook at this", "bold"))
        for text in found:
            console.print(Text.assemble(("  ! ", "yellow"), text))


def _columns(rows: Sequence[VariantReport], primary: str) -> list[_Column]:
    from rich.text import Text

    def column(heading: str, cells: Iterable[str]) -> _Column:
        return _Column(heading, tuple(map(Text, cells)))

    return [
        _Column(VARIANT, tuple(map(_name, rows))),
        column("V", (row.version or figures.MISSING for row in rows)),
        column(f"{figures.label(primary)} %", (score(row, primary) for row in rows)),
        *(
            column(heading, (figures.written(name, row.figure(name)).replace(" ", "") for row in rows))
            for name, heading in _FIGURES
        ),
        _Column(GATES, tuple(map(_gates, rows))),
    ]


def _fitting(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The columns that a terminal has room for."""
    left = list(columns)
    for heading in _SPARE:
        if sum(column.width for column in left) + _GAP * (len(left) - 1) <= width:
            break
        left = [column for column in left if column.heading != heading]
    return left


def _name(row: VariantReport) -> Text:
    from rich.text import Text

    name = Text(row.variant)
    if row.aliases:
        name.append("\n" + ", ".join(f"★ {alias}" if alias == CHAMPION else alias for alias in row.aliases))
    if row.note:
        name.append(f"\n{row.note}", "dim")
    return name


def score(row: VariantReport, primary: str) -> str:
    """`98.95 ±0.20`, percent: half the width of the 95% confidence interval, in points."""
    value, low, high = (row.figure(name) for name in (primary, f"{primary}_low", f"{primary}_high"))
    text = figures.written(primary, value)
    return text if value is None or low is None or high is None else f"{value:.2f} ±{(high - low) / 2:.2f}"


def _gates(row: VariantReport) -> Text:
    from rich.text import Text

    if not row.gates:
        return Text(figures.MISSING)
    missed = dict.fromkeys(gate.metric for gate in row.gates if not gate.passed)
    if not missed:
        return Text(f"✓ {len(row.gates)}/{len(row.gates)}", "green")
    return Text(f"✗ {', '.join(missed)}", "yellow")
