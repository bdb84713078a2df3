"""Show a run as it goes: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paddlepress_pipelines.local.execute import OnProgress
from paddlepress_pipelines.local.spec import TaskSpec

if TYPE_CHECKING:
    from rich.console import Console


def duration(seconds: float) -> str:
    """A duration as a person would say it: `4 s`, `1 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Display:
    """Watches a run and shows it on a console; use it as a context manager."""

    def __init__(self, console: Console, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.console = console
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._last_line: dict[str, float] = {}
        self._total = total
        self._count = 0
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Display:
        self._bars.start()
        self._all = self._bars.add_task("all tasks", total=self._total, detail="")
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def started(self, task: TaskSpec) -> OnProgress:
        with self._lock:
            row = self._rows[task.name] = int(self._bars.add_task(task.title, total=None, detail=""))
        if not self.console.is_terminal:
            self.console.print(f"  … {task.title}", highlight=False, markup=False)

        def on_progress(done: int, total: int, description: str) -> None:
            self._bars.update(row, completed=done, total=total, detail=description)  # type: ignore[arg-type]
            self._line(task, done, total, description)

        return on_progress

    def finished(self, task: TaskSpec, seconds: float, cached: bool) -> None:
        self._end(task)
        if not cached:
            self._say(("  ✓ ", "green"), f"{task.title} ", (duration(seconds), "dim"))

    def damaged(self, task: TaskSpec, problem: str) -> None:
        self._say(("  ! ", "yellow"), f"{task.title}: {problem}; it is made again")

    def failed(self, task: TaskSpec, message: str) -> None:
        self._end(task)
        self._say(("  ✗ ", "red"), f"{task.title}: {message}")

    def skipped(self, tasks: Sequence[TaskSpec], because: str) -> None:
        for task in tasks:
            self._end(task)
        first = tasks[0].title
        told = f"{first}: skipped, it needs" if len(tasks) == 1 else f"{len(tasks)} tasks: skipped, they need"
        self._say((f"  - {told} {because}", "dim"))

    def warned(self, task: TaskSpec, text: str) -> None:
        self._say(("  ! ", "yellow"), f"{task.title}: {text}")

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """A line of text, never markup, whatever a plugin or a message is called."""
        from rich.text import Text

        self.console.print(Text.assemble(*parts))

    def _end(self, task: TaskSpec) -> None:
        with self._lock:
            self._count += 1
            self._bars.update(self._all, completed=self._count)
            row = self._rows.pop(task.name, None)
            if row is not None:
                self._bars.remove_task(row)  # type: ignore[arg-type]

    def _line(self, task: TaskSpec, done: int, total: int, description: str) -> None:
        """Without a terminal: a line every ten seconds of a long task."""
        if self.console.is_terminal:
            return
        now = time.monotonic()
        if now - self._last_line.setdefault(task.name, now) >= 10:
            self._last_line[task.name] = now
            self.console.print(f"    {task.title}: {description} ({done}/{total})", highlight=False, markup=False)
