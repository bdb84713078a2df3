"""The figures of a report: what they are called, how they are written, how they were measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MISSING = "—"
Writer = Callable[[float], str]


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Attributes:
        label: for a column or an axis.
        unit: `percent`, `points`, `share`, `bytes`, `count`, `times`, `ms`, `MiB`, or empty.
        higher_is_better: None where neither is.
        description: what it is, in a sentence.
    """

    label: str
    unit: str = ""
    higher_is_better: bool | None = None
    description: str = ""


FIGURES: dict[str, Figure] = {
    "accuracy": Figure("Accuracy", "percent", True, "share of test examples classified correctly"),
    "accuracy_low": Figure("Accuracy, lower end", "percent", True, "lower end of the 95% confidence interval (Wilson)"),
    "accuracy_high": Figure("Accuracy, upper end", "percent", True, "upper end of the 95% confidence interval (Wilson)"),
    "drop": Figure("Drop", "points", False, "base accuracy − variant accuracy; negative where the variant is better"),
    "bytes": Figure("Size", "bytes", False, "what is deployed, with all that is needed to decode it"),
    "ratio": Figure("Ratio", "times", True, "bytes of the base model's float32 weights / bytes deployed"),
    "parameters": Figure("Parameters", "count", False, "numbers the network computes with, zeros included"),
    "nonzeros": Figure("Non-zeros", "count", False, "parameters that are not zero"),
    "sparsity": Figure("Sparsity", "share", None, "share of the parameters that are zero"),
    "macs": Figure("MACs", "count", False, "multiply-accumulates for one example, zeros included"),
    "macs_ratio": Figure("MACs ratio", "times", True, "MACs of the base model / MACs of the variant"),
    "latency_b1_ms": Figure("Latency, batch 1", "ms", False, "median time for one example, one thread"),
    "latency_b32_ms": Figure("Latency, batch 32", "ms", False, "median time for 32 examples, one thread"),
    "speedup_b1": Figure("Speed-up, batch 1", "times", True, "base time / variant time, median of interleaved runs"),
    "speedup_b1_low": Figure("Speed-up, batch 1, lower end", "times", True, "lower end of its spread"),
    "speedup_b1_high": Figure("Speed-up, batch 1, upper end", "times", True, "upper end of its spread"),
    "speedup_b32": Figure("Speed-up, batch 32", "times", True, "base time / variant time, median of interleaved runs"),
    "speedup_b32_low": Figure("Speed-up, batch 32, lower end", "times", True, "lower end of its spread"),
    "speedup_b32_high": Figure("Speed-up, batch 32, upper end", "times", True, "upper end of its spread"),
    "paddle_speedup_b1": Figure("Paddle Inference speed-up, batch 1", "times", True, "the same under Paddle Inference"),
    "paddle_speedup_b32": Figure("Paddle Inference speed-up, batch 32", "times", True, "the same, 32 at once"),
    "peak_memory_mib": Figure("Peak memory", "MiB", False, "most memory a fresh process held while it predicted"),
    "agreement": Figure("Agreement", "percent", True, "share of test examples where variant and base say the same"),
    "runtime_agreement": Figure(
        "Runtime agreement", "percent", True, "share of test examples where the deployed model and Paddle say the same"
    ),
}
"""Every figure that has a name of its own here, in the order in which the report lists them."""

METHODS: tuple[tuple[str, str], ...] = (
    (
        "Accuracy",
        "On test examples that no technique has seen. The interval is Wilson's, at 95%: "
        "two variants whose intervals overlap widely can't be told apart by this test set.",
    ),
    (
        "Size",
        "Bytes of what would be deployed: weights with their indices, codebooks, tables and headers. "
        "The ratio is against the base model's float32 weights.",
    ),
    (
        "Latency",
        "ONNX Runtime, one thread, base and variant taking turns in one process so that both see the same machine. "
        "The speed-up is the median of the ratios with its spread; under 1× is slower.",
    ),
    ("Agreement", "How often the variant gives the base model's answer, right or wrong."),
    ("Pareto front", "The variants that no other variant beats in accuracy and in cost at once."),
)
"""How each figure was measured, for the foot of the page."""


def figure(name: str) -> Figure:
    """How a metric is shown; one without an entry here is shown under its own name."""
    return FIGURES.get(name) or Figure(name.replace("_", " "))


def written(name: str, value: float | None) -> str:
    """A metric's value with its unit, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    unit = figure(name).unit
    if unit == "percent":
        return percent(value)
    if unit == "points":
        return points(value)
    if unit == "share":
        return percent(100 * value)
    if unit == "bytes":
        return human_bytes(value)
    if unit == "count":
        return human_count(value)
    if unit == "times":
        return times(value)
    if unit == "ms":
        return milliseconds(value)
    if unit == "MiB":
        return f"{value:.0f} MiB"
    return f"{value:.6g}"


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
