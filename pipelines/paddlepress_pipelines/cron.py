"""Times that repeat, as cron writes them: what they mean, and how Kubeflow and systemd write the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from paddlepress.core.errors import UsageError, shown

if TYPE_CHECKING:
    from cronsim import CronSim

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31",
    "month": "1-12 or JAN-DEC",
    "day of week": "0-7 or SUN-SAT, of which 0 and 7 are Sunday",
}
_NAMES = {
    "month": {month: number for number, month in enumerate(_MONTHS, 1)},
    "day of week": {day: number for number, day in enumerate(_DAYS)},
}
_FORM = "Valid: five fields, which are minute, hour, day of month, month and day of week, such as '0 3 * * *'"


@dataclass(frozen=True)
class Cron:
    """Times that repeat, by the rules of cron on Debian.

    Numbers, names, lists, ranges, and steps of `*` and of ranges are taken: what all of cron, Kubeflow and
    systemd can be told. Where both days are stated, either will do; where one begins with `*`, both have to fit.

    Attributes:
        text: five fields with one blank between them, in capital letters.
    """

    text: str

    @classmethod
    def parse(cls, text: str, origin: str = "--cron") -> Cron:
        """Read five fields.

        Args:
            text: the fields.
            origin: where they come from, for the message.

        Raises:
            UsageError: they are not five, one of them is not valid, or no day is such a day.
        """
        from cronsim import CronSim, CronSimError

        parts = text.upper().split()
        if len(parts) != 5:
            seconds = " Seconds can't be stated." if len(parts) == 6 else ""
            count = f"{len(parts)} field{'' if len(parts) == 1 else 's'}"
            raise UsageError(f"{origin} {shown(text)} has {count}.{seconds} {_FORM}")
        cron = cls(" ".join(parts))
        for position, (part, (name, valid)) in enumerate(zip(parts, _FIELDS.items(), strict=True)):
            others = ["*"] * 5
            others[position] = part
            try:
                if not _well_formed(part, _NAMES.get(name, {})):
                    raise CronSimError
                CronSim(" ".join(others), datetime(2000, 1, 1))
            except CronSimError:
                raise UsageError(
                    f"the {name} in {origin} {shown(text)} is {shown(part)}. Valid: *, {valid}, lists such as 1,5, "
                    "ranges such as 1-5, and steps such as */2 or 1-5/2"
                ) from None
        try:
            there_are = bool(cron.next(datetime(2000, 1, 1), 1))
        except CronSimError:
            there_are = False
        if not there_are:
            raise UsageError(f"{origin} {shown(text)} names no day that there is")
        return cron

    def next(self, after: datetime, count: int = 3) -> list[datetime]:
        """The next times after one, in its time zone."""
        return list(islice(self._simulated(after), count))

    def meaning(self) -> str:
        """The times in words, such as `At 03:00 every day`."""
        return self._simulated(datetime(2000, 1, 1)).explain()

    def with_seconds(self) -> str:
        """The same times in six fields, seconds first, as Kubeflow reads them.

        Its reader (robfig/cron 1.2) knows no day 7: Sundays are day 0.
        """
        *others, days = self.text.split()
        return " ".join(["0", *others, ",".join(map(_without_seven, days.split(",")))])

    def calendars(self) -> list[str]:
        """The same times as `OnCalendar=` of systemd, each of which adds to the others."""
        cron = self._simulated(datetime(2000, 1, 1))
        _, _, month_days, _, week_days = self.text.split()
        every_week_day = {day % 7 for day in _numbers(cron.weekdays)} == set(range(7))
        week = ",".join(_DAYS[day].title() for day in sorted({day % 7 for day in _numbers(cron.weekdays)}))
        week = "" if every_week_day else f"{week} "
        months = "*" if len(cron.months) == 12 else _listed(cron.months)
        days = "*" if len(cron.days) == 31 else _listed(cron.days)
        hours = "*" if len(cron.hours) == 24 else _listed(cron.hours)
        time = f"{hours}:{'*' if len(cron.minutes) == 60 else _listed(cron.minutes)}:00"
        if month_days.startswith("*") or week_days.startswith("*"):
            return [f"{week}*-{months}-{days} {time}"]
        return [f"*-{months}-{days} {time}", f"{week}*-{months}-* {time}"]

    def _simulated(self, after: datetime) -> CronSim:
        from cronsim import CronSim

        return CronSim(self.text, after)


def _well_formed(part: str, names: Mapping[str, int]) -> bool:
    """Whether a field is a list of what all readers understand alike: `*` only as the first of several."""
    value = "|".join(["[0-9]{1,2}", *names])
    span = rf"(?:{value})(?:-(?:{value})(?:/[0-9]{{1,2}})?)?"
    if re.fullmatch(rf"(?:\*(?:/[0-9]{{1,2}})?|{span})(?:,{span})*", part) is None:
        return False
    # A step of a range of one means nothing; some readers go on from there to the end.
    ends = (item.partition("/")[0].split("-") for item in part.split(",") if "-" in item and "/" in item)
    return all(len({int(end) if end.isdigit() else names[end] for end in both}) == 2 for both in ends)


def _without_seven(item: str) -> str:
    """An item of the days of the week, in which Sunday is 0 alone."""
    from cronsim import CronSim

    if not re.search(r"(?<![0-9/])0*7\b", item):
        return item
    days = _numbers(CronSim(f"0 0 * * {item}", datetime(2000, 1, 1)).weekdays)
    return ",".join(map(str, sorted({day % 7 for day in days})))


def _numbers(days: set[int | tuple[int, int]]) -> set[int]:
    """The days of the week; such as the last Friday of a month, which would be a tuple, are not taken."""
    return {day for day in days if isinstance(day, int)}


def _listed(values: set[int]) -> str:
    return ",".join(f"{value:02d}" for value in sorted(values))
