"""From a report's data to what the template prints: cells, heat map, chains and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from paddlepress.evaluation.metrics import known
from paddlepress.report import figures
from paddlepress.report.charts import Frame, Mark, front_of, trade_off
from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.steps import StepView, view_of

_MOST_CLASSES = 20
_HEAT_FLOOR = 1.0
"""Points that the strongest colour stands for at least: noise of a tenth should look faint."""


@dataclass(frozen=True)
class Cell:
    """A table cell.

    Attributes:
        text: the figure, or a dash.
        note: a second, smaller line.
        sort: what to sort by; empty sorts last.
        title: shown on hover; for a missing figure, why.
        bar: length of the mini bar in percent; None draws none.
        mark: where the bar's 1x tick stands in percent.
        worse: whether the bar shows a loss.
    """

    text: str
    note: str = ""
    sort: str = ""
    title: str = ""
    bar: float | None = None
    mark: float = 0.0
    worse: bool = False

    @property
    def missing(self) -> bool:
        """Whether there is no figure."""
        return self.text == figures.MISSING


@dataclass(frozen=True)
class Column:
    """A column of the comparison: its heading in two lines, what it says on hover, and which sort comes first."""

    label: str
    note: str
    title: str
    descending: bool


@dataclass(frozen=True)
class Row:
    """One variant in every part of the page."""

    key: int
    variant: VariantReport
    champion: bool
    fronts: tuple[str, ...]
    cells: tuple[Cell, ...]
    steps: tuple[StepView, ...]


@dataclass(frozen=True)
class Plot:
    """A chart in two sizes (for wide and for narrow screens), and who is not in it."""

    key: str
    wide: str
    narrow: str
    absent: tuple[str, ...]


@dataclass(frozen=True)
class HeatCell:
    """A class of a variant: the change in points, its strength 0..100 and its side."""

    text: str
    title: str
    strength: float = 0.0
    side: str = ""


@dataclass(frozen=True)
class Heat:
    """The heat map of per-class changes.

    Attributes:
        classes: name, count and base accuracy of each column.
        rows: a variant's name, whether it is the champion, and its cells.
        limit: points that the strongest colour stands for.
        left_out: how many classes are not shown, those with the smallest changes.
    """

    classes: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, bool, tuple[HeatCell, ...]], ...]
    limit: str
    left_out: int


_INTERVAL = "95% interval"
COLUMNS = (
    ("drop", "Drop", "points"),
    ("bytes", "Size", ""),
    ("ratio", "Smaller", ""),
    ("parameters", "Parameters", ""),
    ("macs", "MACs", ""),
    ("latency_b1_ms", "Latency", "batch 1"),
    ("speedup_b1", "Speed-up", "batch 1"),
    ("speedup_b32", "Speed-up", "batch 32"),
    ("agreement", "Agreement", "with base"),
)
"""Metric and heading, in two lines, of the comparison's columns, between how good a variant is and its gates."""


def columns(data: ReportData) -> list[Column]:
    """The comparison's figure columns."""
    return [
        Column(label, note, figures.description(name), figures.higher_is_better(name))
        for name, label, note in _columns(data)
    ]


def _columns(data: ReportData) -> tuple[tuple[str, str, str], ...]:
    return ((data.primary, figures.label(data.primary), _INTERVAL), *COLUMNS)


def rows(data: ReportData) -> list[Row]:
    """Every variant with its cells and its chain."""
    fronts = {
        label: {mark.key for mark in _best(marks_of(data, cost))}
        for label, cost in (("size", "bytes"), ("speed", "latency_b1_ms"))
    }
    most = {name: _most(data, name) for name in ("ratio", "speedup_b1", "speedup_b32")}
    return [
        Row(
            key=key,
            variant=variant,
            champion=data.is_champion(variant),
            fronts=tuple(label for label, keys in fronts.items() if key in keys),
            cells=tuple(cell(variant, name, most.get(name)) for name, _, _ in _columns(data)),
            steps=tuple(view_of(step) for step in variant.chain),
        )
        for key, variant in enumerate(data.variants)
    ]


def cell(variant: VariantReport, name: str, most: float | None) -> Cell:
    """One figure of one variant; `most` is the longest bar's value, None for no bar."""
    value = variant.figure(name)
    if value is None:
        return Cell(figures.MISSING, title=variant.reason_missing(name))
    text = figures.written(name, value)
    note, title = _note(variant, name)
    if most is None:
        return Cell(text, note, repr(value), title)
    return Cell(text, note, repr(value), title, 100 * value / most, 100 / most, value < 1)


def _note(variant: VariantReport, name: str) -> tuple[str, str]:
    """The second line of a cell and its title."""
    low, high = variant.figure(f"{name}_low"), variant.figure(f"{name}_high")
    if low is not None and high is not None:
        what = "quartiles of the interleaved runs" if name.startswith("speedup") else "95% confidence interval"
        return f"{low:.2f}–{high:.2f}", what
    if name == "parameters":
        nonzeros, value = variant.figure("nonzeros"), variant.figure("parameters")
        if nonzeros is not None and value and nonzeros < 0.995 * value:
            return f"{100 * nonzeros / value:.0f}% non-zero", f"{nonzeros:,.0f} of {value:,.0f} are not zero"
    return "", ""


def _most(data: ReportData, name: str) -> float:
    return max([1.0, *(value for variant in data.variants if (value := variant.figure(name)) is not None)])


def marks_of(data: ReportData, cost: str) -> list[Mark]:
    """The variants that have both a score and a cost, as a chart's points."""
    marks = []
    for key, variant in enumerate(data.variants):
        x, y = variant.figure(cost), variant.figure(data.primary)
        if x is None or y is None or x <= 0:
            continue
        mark = Mark(
            key=key,
            label=variant.variant,
            x=x,
            y=y,
            low=variant.figure(f"{data.primary}_low"),
            high=variant.figure(f"{data.primary}_high"),
            details=_details(variant, data.primary),
            base=variant.is_base,
            champion=data.is_champion(variant),
            passed=not variant.failed_gates,
        )
        marks.append(mark)
    return marks


def _details(variant: VariantReport, primary: str) -> tuple[str, ...]:
    lines = []
    for name, label in (
        (primary, figures.label(primary)),
        ("drop", "Drop"),
        ("bytes", "Size"),
        ("ratio", "Smaller"),
        ("latency_b1_ms", "Latency, batch 1"),
        ("speedup_b1", "Speed-up, batch 1"),
        ("speedup_b32", "Speed-up, batch 32"),
    ):
        value = variant.figure(name)
        if value is None:
            continue
        text = figures.written(name, value)
        if name == primary and (note := _note(variant, name)[0]):
            text += f" ({note})"
        lines.append(f"{label}: {text}{' points' if name == 'drop' else ''}")
    if variant.gates:
        lines.append(f"Gates: {len(variant.gates) - variant.failed_gates} of {len(variant.gates)} passed")
    return tuple(lines)


def _best(marks: list[Mark]) -> list[Mark]:
    return [marks[index] for index in front_of(marks)]


def plots(data: ReportData) -> list[Plot]:
    """How good variants are against size, and against latency at both batch sizes."""
    name = figures.label(data.primary)
    return [
        _plot(data, "bytes", "size", f"{name} and size", "size on disk", figures.short_bytes, True),
        _plot(data, "latency_b1_ms", "b1", f"{name} and latency, batch 1", "latency, batch 1", figures.short_ms),
        _plot(data, "latency_b32_ms", "b32", f"{name} and latency, batch 32", "latency, batch 32", figures.short_ms),
    ]


def _plot(
    data: ReportData,
    cost: str,
    key: str,
    title: str,
    x_title: str,
    x_text: figures.Writer,
    logarithmic: bool | None = None,
) -> Plot:
    marks, score = marks_of(data, cost), data.primary
    drawn = {mark.key for mark in marks}
    absent = tuple(
        f"{variant.variant} ({variant.reason_missing(cost if variant.figure(score) is not None else score)})"
        for index, variant in enumerate(data.variants)
        if index not in drawn
    )
    if not marks:
        return Plot(key, "", "", absent)
    name = figures.in_text(score)
    wide = Frame(f"{key}-wide", title, x_title, name, x_text, 520, 390, logarithmic)
    narrow = Frame(f"{key}-narrow", title, x_title, name, x_text, 330, 360, logarithmic)
    return Plot(key, trade_off(marks, wide), trade_off(marks, narrow), absent)


def heat(data: ReportData) -> Heat | None:
    """Points gained and lost by class; None where no variant has per-class figures."""
    measured = [variant for variant in data.variants if variant.per_class and not variant.is_base]
    if not measured:
        return None
    changes = {name: 0.0 for variant in measured for name in (one.name for one in variant.per_class)}
    about = {}
    for variant in measured:
        for one in variant.per_class:
            changes[one.name] = max(changes[one.name], abs(one.change))
            about[one.name] = (one.name, f"{one.count:,}", figures.percent(one.base_accuracy))
    shown = sorted(changes, key=lambda name: -changes[name])[:_MOST_CLASSES]
    names = [name for name in changes if name in set(shown)]
    limit = max([_HEAT_FLOOR, *(changes[name] for name in names)])
    lines = tuple(
        (variant.variant, data.is_champion(variant), _heat_cells(variant, names, limit, data.dataset.group[0]))
        for variant in measured
    )
    return Heat(tuple(about[name] for name in names), lines, f"{limit:.1f}", len(changes) - len(names))


def _heat_cells(variant: VariantReport, names: Sequence[str], limit: float, group: str) -> tuple[HeatCell, ...]:
    by_name = {one.name: one for one in variant.per_class}
    cells = []
    for name in names:
        one = by_name.get(name)
        if one is None:
            cells.append(HeatCell(figures.MISSING, "not measured"))
            continue
        title = (
            f"{variant.variant}, {group} {name}: {one.accuracy:.2f}%, base {one.base_accuracy:.2f}%, "
            f"{one.count:,} examples"
        )
        side = "gain" if one.change > 0 else "loss" if one.change < 0 else ""
        cells.append(HeatCell(figures.signed_points(one.change), title, 100 * abs(one.change) / limit, side))
    return tuple(cells)


def every_figure(data: ReportData) -> list[tuple[str, str, list[Cell]]]:
    """All metrics as lines (label, description, a cell per variant); known ones first, others by name."""
    names = {name for variant in data.variants for name in (*variant.metrics, *variant.missing)}
    ordered = [name for name in known() if name in names] + sorted(names - known().keys())
    return [
        (figures.label(name), figures.description(name), [_plain(variant, name) for variant in data.variants])
        for name in ordered
    ]


def _plain(variant: VariantReport, name: str) -> Cell:
    value = variant.figure(name)
    if value is None:
        return Cell(figures.MISSING, title=variant.reason_missing(name))
    return Cell(figures.written(name, value, exact=True))


def not_measured(data: ReportData) -> list[tuple[str, str, str]]:
    """What could not be measured: figures, variants and the reason, those with one reason together."""
    by_variant: dict[tuple[str, str], list[str]] = {}
    for variant in data.variants:
        for name, reason in variant.missing.items():
            by_variant.setdefault((variant.variant, reason), []).append(figures.label(name))
    together: dict[tuple[str, str], list[str]] = {}
    for (name, reason), labels in by_variant.items():
        together.setdefault(("; ".join(labels), reason), []).append(name)
    return [(labels, ", ".join(names), reason) for (labels, reason), names in together.items()]


def when(created: datetime) -> str:
    """`23 November 2026, 08:33 UTC`."""
    moment = created if created.tzinfo is not None else created.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
