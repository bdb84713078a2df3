"""Times that repeat: the same in five fields, in Kubeflow's six, and in systemd's words."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.core.errors import UsageError
from paddlepress_pipelines.cron import Cron

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def field(low: int, high: int, names: list[str], first: int) -> st.SearchStrategy[str]:
    """One of cron's fields."""
    number = st.integers(low, high)

    def written(value: int, named: bool) -> str:
        return names[value - first] if named and 0 <= value - first < len(names) else str(value)

    value = st.builds(written, number, st.booleans())
    span = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    risen = st.tuples(number, number).map(sorted).filter(lambda ends: ends[0] < ends[1])
    stepped = st.builds(lambda ends, step: f"{ends[0]}-{ends[1]}/{step}", risen, st.integers(1, high))
    star = st.one_of(st.just("*"), st.integers(1, high).map("*/{}".format))
    item = st.one_of(value, span, stepped)
    both = st.builds("{},{}".format, st.one_of(star, item), item)
    return st.one_of(star, item, both)


MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
EXPRESSIONS = st.builds(
    "{} {} {} {} {}".format,
    field(0, 59, [], 0),
    field(0, 23, [], 0),
    field(1, 28, [], 0),
    field(1, 12, MONTHS, 1),
    field(0, 7, DAYS, 0),
)


def robfig(text: str, after: datetime, count: int) -> list[datetime]:
    """The next times as robfig/cron 1.2, which Kubeflow uses, reads six fields: seconds first, Sunday is 0 alone."""
    bounds = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    names = [[], [], [], [], MONTHS, DAYS]
    sets, stars = [], []
    for part, (low, high), known in zip(text.split(" "), bounds, names, strict=True):
        values: set[int] = set()
        for item in part.split(","):
            span, _, step = item.partition("/")
            begin, _, end = span.partition("-")

            def number(word: str, known: list[str] = known, low: int = low) -> int:
                return known.index(word) + low if word in known else int(word)

            first = low if begin == "*" else number(begin)
            last = high if begin == "*" or (step and not end) else number(end) if end else first
            assert low <= first <= last <= high, f"{item} is refused"
            values |= set(range(first, last + 1, int(step or 1)))
        sets.append(values)
        stars.append("*" in part)
    found: list[datetime] = []
    day = after.replace(hour=0, minute=0, second=0)
    for _ in range(366 * 30):
        fits = day.day in sets[3], (day.weekday() + 1) % 7 in sets[5]
        if day.month in sets[4] and (all(fits) if stars[3] or stars[5] else any(fits)):
            times = [day.replace(hour=h, minute=m) for h in sorted(sets[2]) for m in sorted(sets[1])]
            found += [time for time in times if time > after]
        if len(found) >= count:
            break
        day += timedelta(days=1)
    assert sets[0] == {0}
    return found[:count]


def systemd(text: str, after: datetime, days: int) -> set[datetime]:
    """All times of some days as systemd reads one `OnCalendar=` of ours."""
    found = re.fullmatch(r"(?:([A-Za-z,]+) )?\*-([0-9,*]+)-([0-9,*]+) ([0-9,*]+):([0-9,*]+):00", text)
    assert found is not None, text

    def numbers(part: str, low: int, high: int) -> list[int]:
        return list(range(low, high + 1)) if part == "*" else [int(one) for one in part.split(",")]

    week = found[1].split(",") if found[1] else list(calendar.day_abbr)
    times = set()
    for day in (after + timedelta(days=one) for one in range(days)):
        fits = day.month in numbers(found[2], 1, 12) and day.day in numbers(found[3], 1, 31)
        if fits and calendar.day_abbr[day.weekday()] in week:
            times |= {day.replace(hour=h, minute=m) for h in numbers(found[4], 0, 23) for m in numbers(found[5], 0, 59)}
    return times


@settings(max_examples=60)
@given(EXPRESSIONS)
def test_kubeflow_is_told_the_same_times(text: str) -> None:
    """The six fields, read seconds first, give the times that the five give."""
    cron = Cron.parse(text)
    assert cron.next(NEW_YEAR, 3) == robfig(cron.with_seconds(), NEW_YEAR, 3)


@settings(max_examples=40)
@given(EXPRESSIONS)
def test_systemd_is_told_the_same_times(text: str) -> None:
    """All calendars together give the times that the five fields give, and no other."""
    cron = Cron.parse(text)
    expected = cron.next(NEW_YEAR - timedelta(minutes=1), 400)
    span = max(1, min(9, (expected[-1] - NEW_YEAR).days))
    end = NEW_YEAR + timedelta(days=span)
    told = set().union(*(systemd(one, NEW_YEAR, span) for one in cron.calendars()))
    assert sorted(told)[:400] == [time for time in expected if time < end]


@pytest.mark.parametrize(
    ("text", "six", "calendars"),
    [
        ("0 3 * * *", "0 0 3 * * *", ["*-*-* 03:00:00"]),
        ("30 4 * * 7", "0 30 4 * * 0", ["Sun *-*-* 04:30:00"]),
        ("0 3 * * fri-7", "0 0 3 * * 0,5,6", ["Sun,Fri,Sat *-*-* 03:00:00"]),
        ("0 3 * * 1-5", "0 0 3 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00"]),
        ("0 3 1 * mon", "0 0 3 1 * MON", ["*-*-01 03:00:00", "Mon *-*-* 03:00:00"]),
        ("*/20 8 1 */6 *", "0 */20 8 1 */6 *", ["*-01,07-01 08:00,20,40:00"]),
    ],
)
def test_how_it_is_written(text: str, six: str, calendars: list[str]) -> None:
    """What is put on a server or into a unit is what a person would write."""
    cron = Cron.parse(text)
    assert cron.with_seconds() == six
    assert cron.calendars() == calendars


def test_what_it_means() -> None:
    """It is told in words and times, in the zone that is asked for."""
    cron = Cron.parse("0  3 * * *")
    assert cron.meaning() == "At 03:00 every day"
    berlin = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert [f"{time:%m-%d %H:%M %Z}" for time in cron.next(berlin)] == [
        "03-29 03:00 CEST",
        "03-30 03:00 CEST",
        "03-31 03:00 CEST",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 3 * *", ["has 4 fields", "minute, hour, day of month, month and day of week"]),
        ("0 0 3 * * *", ["has 6 fields", "Seconds can't be stated"]),
        ("", ["has 0 fields"]),
        ("@daily", ["has 1 field."]),
        ("60 3 * * *", ["the minute", "'60'", "0-59"]),
        ("0 24 * * *", ["the hour", "'24'", "0-23"]),
        ("0 3 0 * *", ["the day of month", "'0'", "1-31"]),
        ("0 3 * FEX *", ["the month", "'FEX'", "JAN-DEC"]),
        ("0 3 * * 8", ["the day of week", "'8'", "SUN-SAT"]),
        ("0 3 * * 5-1", ["the day of week", "'5-1'"]),
        ("*/0 3 * * *", ["the minute", "'*/0'"]),
        ("7-7/2 3 * * *", ["the minute", "'7-7/2'"]),
        ("0 3 * * SUN-0/2", ["the day of week", "'SUN-0/2'"]),
        ("5/10 3 * * *", ["the minute", "'5/10'", "1-5/2"]),
        ("1,* 3 * * *", ["the minute", "'1,*'"]),
        ("0 3 L * *", ["the day of month", "'L'"]),
        ("0 3 * * 1#2", ["the day of week", "'1#2'"]),
        ("0 3 ? * *", ["the day of month", "'?'"]),
        ("0 3 30 2 *", ["no day that there is"]),
        ("0 3 * * 1;rm", ["the day of week"]),
    ],
)
def test_a_mistake_is_named(text: str, words: list[str]) -> None:
    """Which field it is in, what is there and what is valid."""
    with pytest.raises(UsageError) as caught:
        Cron.parse(text)
    for word in ("--cron", *words):
        assert word in str(caught.value)
