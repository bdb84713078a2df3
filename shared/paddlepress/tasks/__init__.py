"""What networks are for."""

from __future__ import annotations

from pydantic import Field

from paddlepress.spec.record import Record


class Task(Record):
    """What a network is for.

    Attributes:
        kind: `classification`: one logit per class.
        classes: the classes' names, in the order of the logits.
    """

    kind: str = Field(default="classification", pattern="^classification$")
    classes: tuple[str, ...]
