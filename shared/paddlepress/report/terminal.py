"""The comparison as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from paddlepress.report import figures
from paddlepress.report.data import VariantReport

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

CHAMPION = "champion"

_FIGURES = (
    ("drop", "Drop"),
    ("bytes", "Size"),
    ("ratio", "Ratio"),
    ("macs", "MACs"),
    ("speedup_b1", "Speed\nb1"),
    ("speedup_b32", "Speed\nb32"),
)


def table(rows: Iterable[VariantReport]) -> Table:
    """Variants side by side; the one that has the alias `champion` stands out.

    Args:
        rows: variants in the order to show them.

    Returns:
        A table for `rich.console.Console.print`. Names are text, never markup.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # It fits 80 columns: aliases stand under the names, long names fold, figures stay whole.
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    made.add_column("Variant", overflow="fold", min_width=8)
    made.add_column("V", justify="right", no_wrap=True)
    for heading in ("Accuracy %", *(heading for _, heading in _FIGURES)):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("Gates", no_wrap=True)
    for row in rows:
        cells = [
            _name(row),
            Text(row.version or figures.MISSING),
            Text(accuracy(row)),
            *(Text(figures.written(name, row.figure(name)).replace(" ", "")) for name, _ in _FIGURES),
            _gates(row),
        ]
        made.add_row(*cells, style="bold cyan" if CHAMPION in row.aliases else None)
    return made


def _name(row: VariantReport) -> Text:
    from rich.text import Text

    name = Text(row.variant)
    if row.aliases:
        name.append("\n" + ", ".join(f"★ {alias}" if alias == CHAMPION else alias for alias in row.aliases))
    return name


def accuracy(row: VariantReport) -> str:
    """`98.95 ±0.20`, percent: half the width of the 95% confidence interval, in points."""
    value, low, high = (row.figure(name) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    text = figures.written("accuracy", value)
    return text if value is None or low is None or high is None else f"{value:.2f} ±{(high - low) / 2:.2f}"


def _gates(row: VariantReport) -> Text:
    from rich.text import Text

    if not row.gates:
        return Text(figures.MISSING)
    failed = row.failed_gates
    passed = f"{len(row.gates) - failed}/{len(row.gates)}"
    return Text(f"✗ {passed}", "yellow") if failed else Text(f"✓ {passed}", "green")
