"""Progress of long work, shown where a person can see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")

MetricLogger = Callable[[str, float, int], None]
"""`(metric, value, step)`: told of figures while work goes on."""


def log_nothing(name: str, value: float, step: int) -> None:
    """A `MetricLogger` that forgets."""


class Progress(Protocol):
    """Something that shows how far a loop has come."""

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        """Yield the items, showing how many of `total` are done."""
        ...

    def note(self, text: str) -> None:
        """Say one line."""
        ...


class Silent:
    """Shows nothing."""

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        yield from items

    def note(self, text: str) -> None:
        return None


class Lines:
    """Progress as lines of text: `PROGRESS done total description`, at most a few a second.

    Components run in processes of their own, and whoever started them reads these lines from their
    output and draws the bar.
    """

    prefix = "PROGRESS"
    interval_s = 0.3

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        last = 0.0
        done = 0
        for item in items:
            now = time.monotonic()
            if now - last >= self.interval_s:
                self._say(done, total, description)
                last = now
            yield item
            done += 1
        self._say(done, total, description)

    def note(self, text: str) -> None:
        print(text, flush=True)

    def _say(self, done: int, total: int, description: str) -> None:
        print(f"{self.prefix} {done} {total} {description}", flush=True, file=sys.stdout)
