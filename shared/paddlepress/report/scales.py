"""Axes: from values to places on a page, with round numbers at the ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LOG_STEPS = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
)


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from [low, high] to [start, end].

    Attributes:
        low: the value at `start`.
        high: the value at `end`.
        start: a coordinate.
        end: a coordinate; smaller than `start` on a vertical axis, as y points down.
        logarithmic: whether equal ratios are equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The coordinate of a value, kept inside the axis."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int) -> list[float]:
        """At most about `count` round values inside the axis, ascending."""
        return log_ticks(self.low, self.high, count) if self.logarithmic else linear_ticks(self.low, self.high, count)


def padded(values: Sequence[float], start: float, end: float, logarithmic: bool = False, margin: float = 0.08) -> Scale:
    """A scale over the values with room on both sides; one value, or equal ones, get room as well."""
    low, high = min(values), max(values)
    if logarithmic:
        if high / low < 1.5:
            low, high = low / 1.5, high * 1.5
        room = (high / low) ** margin
        return Scale(low / room, high * room, start, end, True)
    span = high - low
    room = span * margin if span > 0 else max(abs(high) * 0.1, 1e-6)
    return Scale(low - room, high + room, start, end)


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between low and high, at most `count` + 1."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Round values between low and high: the densest of a few ladders that stays within `count`."""
    best: list[float] = []
    for ladder in _LOG_STEPS:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in ladder if low <= step * 10.0**power <= high]
        if len(found) <= count or not best:
            best = found
    if len(best) < 2:
        # The range is too narrow for any ladder.
        return [value for value in linear_ticks(low, high, count) if low <= value <= high][:count]
    return best[:: max(1, math.ceil(len(best) / max(count, 1)))] if len(best) > count else best
