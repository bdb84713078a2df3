"""Where the commands print."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_UNLIMITED = 10_000


def console() -> Console:
    """Standard output as a console: as wide as the terminal, and without a limit for a file or another program.

    `COLUMNS` decides wherever it is set.
    """
    from rich.console import Console

    free = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit()
    return Console(width=_UNLIMITED if free else None)
