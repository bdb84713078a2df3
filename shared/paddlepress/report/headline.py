"""The first thing a reader sees: which variant won, what it saves and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from paddlepress.report.data import ReportData, VariantReport
from paddlepress.report.figures import (
    MISSING,
    human_bytes,
    in_text,
    label,
    milliseconds,
    percent,
    points,
    signed_points,
    times,
)

_TIE = "as fast"


@dataclass(frozen=True)
class Tile:
    """One large figure of the headline.

    Attributes:
        label: what it is about.
        value: the figure, large.
        note: the figures behind it.
        share: length of the bar below in percent; None draws none.
        mark: where the base model stands on it, percent.
    """

    label: str
    value: str
    note: str
    share: float | None = None
    mark: float = 100.0


@dataclass(frozen=True)
class Headline:
    """The champion, said in words and in tiles."""

    variant: str
    version: str
    sentence: str
    reason: str
    tiles: tuple[Tile, ...]


def headline(data: ReportData) -> Headline | None:
    """What to say about the champion; None where there is none.

    A champion that an earlier run made has no figures in this report, and then no tiles.
    """
    if data.champion is None:
        return None
    champion = next((variant for variant in data.variants if data.is_champion(variant)), None)
    if champion is None:
        sentence = "It was promoted from an earlier run; no variant of this one replaced it."
        return Headline(data.champion.variant, data.champion.version, sentence, data.champion.reason, ())
    sentence = "The uncompressed model stays in place." if champion.is_base else _sentence(champion, data.primary)
    tiles = _tiles(champion, data.base, data.primary)
    return Headline(champion.variant, data.champion.version, sentence, data.champion.reason, tiles)


def _sentence(champion: VariantReport, primary: str) -> str:
    ratio, speed, drop = (champion.figure(name) for name in ("ratio", "speedup_b1", "drop"))
    gains = []
    if ratio is not None:
        gains.append(f"{times(ratio)} smaller" if ratio >= 1 else f"{times(1 / ratio)} larger")
    if speed is not None:
        gains.append(_speed_words(champion, speed))
    text = " and ".join(gains)
    if drop is None:
        return f"{text[:1].upper()}{text[1:]}." if text else ""
    cost = _cost(drop, primary)
    text = f"{text}, {cost}" if text else cost
    return f"{text[:1].upper()}{text[1:]}."


def _cost(drop: float, primary: str) -> str:
    same = points(drop) == points(0)
    if primary == "accuracy":
        if same:
            return "as accurate as the base model"
        return f"{points(abs(drop))} points {'less' if drop > 0 else 'more'} accurate than the base model"
    name = in_text(primary)
    if same:
        return f"with the base model's {name}"
    return f"{points(abs(drop))} points of {name} {'worse' if drop > 0 else 'better'} than the base model"


def _speed_words(champion: VariantReport, speed: float) -> str:
    low, high = champion.figure("speedup_b1_low"), champion.figure("speedup_b1_high")
    if times(speed) == times(1) or (low is not None and high is not None and low <= 1 <= high):
        return _TIE
    return f"{times(speed)} faster" if speed >= 1 else f"{times(1 / speed)} slower"


def _tiles(champion: VariantReport, base: VariantReport | None, primary: str) -> tuple[Tile, ...]:
    return (_size(champion, base), _speed(champion, base), _score(champion, primary), _agreement(champion))


def _size(champion: VariantReport, base: VariantReport | None) -> Tile:
    ratio, size = champion.figure("ratio"), champion.figure("bytes")
    before = base.figure("bytes") if base is not None else None
    if ratio is None or size is None:
        return Tile("Smaller", MISSING, champion.reason_missing("bytes" if size is None else "ratio"))
    note = human_bytes(size) if before is None else f"{human_bytes(size)}, was {human_bytes(before)}"
    return Tile("Smaller" if ratio >= 1 else "Size", times(ratio), note, *_bar(size, before))


def _speed(champion: VariantReport, base: VariantReport | None) -> Tile:
    speed, time = champion.figure("speedup_b1"), champion.figure("latency_b1_ms")
    before = base.figure("latency_b1_ms") if base is not None else None
    if speed is None:
        return Tile("Faster", MISSING, champion.reason_missing("speedup_b1"))
    note = "batch 1"
    if time is not None:
        note = f"{milliseconds(time)} at batch 1" + (f", was {milliseconds(before)}" if before is not None else "")
    gained = speed >= 1 and _speed_words(champion, speed) != _TIE
    return Tile("Faster" if gained else "Speed", times(speed), note, *_bar(time, before))


def _score(champion: VariantReport, primary: str) -> Tile:
    score, drop = champion.figure(primary), champion.figure("drop")
    if score is None:
        return Tile(label(primary), MISSING, champion.reason_missing(primary))
    low, high = champion.figure(f"{primary}_low"), champion.figure(f"{primary}_high")
    notes = []
    if drop is not None and not champion.is_base:
        notes.append(f"{signed_points(-drop, 2)} points")
    if low is not None and high is not None:
        notes.append(f"95% interval {low:.2f}–{high:.2f}")
    return Tile(label(primary), percent(score), ", ".join(notes))


def _agreement(champion: VariantReport) -> Tile:
    agreement = champion.figure("agreement")
    if agreement is None:
        return Tile("Agreement", MISSING, champion.reason_missing("agreement"))
    return Tile("Agreement", percent(agreement), "same answer as the base model")


def _bar(value: float | None, before: float | None) -> tuple[float | None, float]:
    """The length of a bar and the base model's place on it; the longer of the two fills it."""
    if value is None or not before:
        return None, 100.0
    most = max(value, before)
    return 100.0 * value / most, 100.0 * before / most
