"""What a reader of a comparison should not overlook."""

from __future__ import annotations

from paddlepress.evaluation.chance import warning
from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.figures import percent, times
from paddlepress.tasks.base import Score
from paddlepress.tasks.classification import ACCURACY, best_guess

_BATCHES = (("1", "b1"), ("32", "b32"))
_FEWER = 0.99
"""A variant has fewer multiply-accumulates from this share of the base model's on: less is rounding."""


def warnings(report: ReportData) -> tuple[str, ...]:
    """Sentences about a base model that has learned nothing, and variants that are slower than it.

    Slower means that even the upper quartile of the paired speed-ups is below 1; a tie is no warning.
    """
    found = [text for text in (_near_chance(report),) if text]
    macs = report.base.figure("macs") if report.base is not None else None
    for variant in report.variants:
        slower = [
            f"{times(speed)} the base model's speed at batch {batch}"
            for batch, key in _BATCHES
            if (speed := _slower(variant, key)) is not None
        ]
        if variant.is_base or not slower:
            continue
        speeds = " and ".join(slower)
        if report.is_champion(variant):
            found.append(
                f"{variant.variant} is champion, and slower: {speeds}. A gate such as "
                "{metric: speedup_b1, at_least: 1} keeps slower variants out of production"
            )
        elif macs and (mine := variant.figure("macs")) is not None and mine < _FEWER * macs:
            found.append(
                f"{variant.variant} has {percent(100 * mine / macs)} of the base model's MACs and is slower: {speeds}. "
                "Its layers' widths may not suit the runtime's kernels"
            )
    return tuple(found)


def _slower(variant: VariantReport, batch: str) -> float | None:
    """The speed-up of a variant that is slower than the base model beyond the spread of its measurements."""
    speed = variant.figure(f"speedup_{batch}")
    high = variant.figure(f"speedup_{batch}_high")
    return speed if speed is not None and speed < 1 and (high is None or high < 1) else None


def _near_chance(report: ReportData) -> str:
    """A warning where the base model is hardly better than guessing among the classes."""
    base, classes = report.base, report.dataset.classes
    accuracy = base.figure("accuracy") if base is not None else None
    if base is None or accuracy is None or classes < 2:
        return ""
    low, counts = base.figure("accuracy_low"), [row.count for row in base.per_class]
    score = Score(accuracy, accuracy if low is None else low, accuracy)
    guess = best_guess(counts or [0] * classes)
    return warning(score, guess, ACCURACY, "test", "its preprocessing, the order of its classes and its training")
