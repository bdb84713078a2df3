"""What a figure is: its unit, which way is better, how it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure: what it counts, which way is better, and how it is written.

    Attributes:
        unit: what it counts; empty for a plain number.
        higher_is_better: None where more is neither better nor worse.
        description: one line.
        digits: how many decimals are worth showing.
        label: what it is called in headings; empty: by its name.
    """

    unit: str
    higher_is_better: bool | None
    description: str
    digits: int = 2
    label: str = ""

    def text(self, value: float) -> str:
        """The number as a person reads it, with its unit."""
        number = f"{value:,.{self.digits}f}"
        return f"{number}{'' if self.unit in {'%', 'x', ''} else ' '}{self.unit}"
