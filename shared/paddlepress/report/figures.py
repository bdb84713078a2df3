"""The figures of a report: what they are called, how they are written, how they were measured."""

from __future__ import annotations

import math
from collections.abc import Callable

from paddlepress.evaluation.metrics import known

MISSING = "—"
Writer = Callable[[float], str]


_METHODS: tuple[tuple[str, str], ...] = (
    (
        "Size",
        "Bytes of all files that are deployed: graph, encoded weights with all that decoding needs, manifest. "
        "The ratio is against the base model's float32 weights.",
    ),
    (
        "Latency",
        "ONNX Runtime, one thread, base and variant taking turns in one process so that both see the same machine. "
        "The speed-up is the median of the paired ratios, with its quartiles; under 1× is slower. A variant's latency "
        "is the base model's median, divided by that speed-up.",
    ),
    ("Agreement", "How often the variant gives the base model's answer, right or wrong."),
    ("Pareto front", "The variants that no other variant beats in score and in cost at once."),
)


def methods(primary: str) -> tuple[tuple[str, str], ...]:
    """How each figure was measured, for the foot of the page: what it is, and a text.

    Args:
        primary: the metric that says how good a variant is.
    """
    score = (
        f"On the deployed runtime, with test examples that no technique has seen: {description(primary)}. The interval "
        "is at 95%: two variants whose intervals overlap widely can't be told apart by this test set."
    )
    return ((label(primary), score), *_METHODS)


def label(name: str) -> str:
    """What a metric is called; one without a label goes by its own name."""
    metric = known().get(name)
    return metric.label if metric is not None and metric.label else name.replace("_", " ")


def in_text(name: str) -> str:
    """What a metric is called within a sentence: `accuracy`, but `R squared` and `F1`."""
    text = label(name)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def description(name: str) -> str:
    """What a metric is, in a line; empty for one that is not known."""
    return known()[name].description if name in known() else ""


def higher_is_better(name: str) -> bool:
    """Whether the larger figure is the better one."""
    return name in known() and bool(known()[name].higher_is_better)


def written(name: str, value: float | None, exact: bool = False) -> str:
    """A metric's value with its unit, or a dash where there is none.

    Args:
        name: the metric; decides how it is written.
        value: the figure.
        exact: whether bytes and counts are written out instead of to three digits.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if name == "sparsity":
        return percent(100 * value)
    metric = known().get(name)
    if metric is None:
        return f"{value:.6g}"
    if exact and metric.unit == "points":
        return f"{points(value)} points"
    if exact and metric.unit in ("", "bytes"):
        return metric.text(value)
    if not metric.unit:
        return human_count(value)
    return _WRITERS.get(metric.unit, metric.text)(value)


def percent(value: float) -> str:
    """`98.95%`."""
    return f"{value:.2f}%"


def points(value: float) -> str:
    """`0.06`, `−0.12`, never `-0.00`."""
    text = f"{value:.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def signed_points(value: float, digits: int = 1) -> str:
    """`+0.2`, `−1.3`, `0.0`."""
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def times(value: float) -> str:
    """`7.9×`, `1.31×`, `0.54×`, `123×`: three digits."""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}×"


def human_bytes(value: float) -> str:
    """`980 B`, `216 kB`, `1.70 MB`: powers of 1,000, three digits."""
    return _scaled(value, ("B", "kB", "MB", "GB", "TB"))


def human_count(value: float) -> str:
    """`980`, `422 k`, `11.2 M`: three digits."""
    return _scaled(value, ("", "k", "M", "G", "T"))


def milliseconds(value: float) -> str:
    """`0.152 ms`, `12.3 ms`: three digits."""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"{value:.{digits}f} ms"


def short_bytes(value: float) -> str:
    """`200 kB`, `2 MB`: for the ticks of an axis, which are round."""
    text, _, unit = human_bytes(value).partition(" ")
    return f"{float(text):g} {unit}"


def short_ms(value: float) -> str:
    """`0.15 ms`, `2 ms`: for the ticks of an axis, which are round."""
    return f"{value:.3g} ms"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    scaled, index = value, 0
    while abs(scaled) >= 999.5 and index < len(units) - 1:
        scaled, index = scaled / 1000, index + 1
    digits = 0 if index == 0 or abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
    return f"{scaled:.{digits}f} {units[index]}".strip()


_WRITERS: dict[str, Writer] = {
    "%": percent,
    "points": points,
    "bytes": human_bytes,
    "x": times,
    "ms": milliseconds,
}
