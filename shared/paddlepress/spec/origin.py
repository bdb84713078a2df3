"""What a network was built from."""

from __future__ import annotations

from pydantic import JsonValue

from paddlepress.spec.record import Record


class ArchitectureRef(Record):
    """A registered architecture's name, and the JSON arguments it was built with."""

    name: str
    arguments: dict[str, JsonValue] = {}
