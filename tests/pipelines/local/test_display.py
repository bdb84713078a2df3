"""What a run shows without a terminal: plain lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from paddlepress_pipelines.local.display import Display
from paddlepress_pipelines.local.spec import TaskSpec


def tasks(count: int) -> list[TaskSpec]:
    return [TaskSpec(f"t{n}", f"evaluate v{n}", "evaluate", None, None) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "line"),
    [(1, "  - evaluate v0: skipped, it needs train"), (11, "  - 11 tasks: skipped, they need train")],
)
def test_what_one_failure_costs_is_one_line(count: int, line: str) -> None:
    """However many tasks need the one that failed."""
    text = io.StringIO()
    with Display(Console(file=text, width=120), total=count) as display:
        display.skipped(tasks(count), "train")
    assert text.getvalue().splitlines() == [line]
