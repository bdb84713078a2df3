"""Progress of one command: a bar in a terminal, now and then a line anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_QUIET_S = 10.0  # between two lines


class CommandProgress:
    """Shows on standard error how far a loop of many steps has come, so that standard output stays for results."""

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        if total > 1 and sys.stderr.isatty():
            yield from self._bar(items, total, description)
            return
        last = time.monotonic()
        for done, item in enumerate(items):
            if time.monotonic() - last >= _QUIET_S:
                last = time.monotonic()
                self.note(f"  {description}: {done} of {total}")
            yield item

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _bar(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(description, total=total)
            for item in items:
                yield item
                bars.advance(task)
