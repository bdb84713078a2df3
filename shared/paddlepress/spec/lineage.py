"""The history of a model."""

from __future__ import annotations

from pydantic import Field, JsonValue

from paddlepress.spec.record import Record


class LineageEntry(Record):
    """One step of a model's history.

    Attributes:
        technique: its registered name (`train` and `import` for a base model).
        version: the installed package that ran it, and its version.
        parameters: every field of the technique.
        seed: what its random choices followed.
        parent: digest of the model it was applied to; empty for a base model.
    """

    technique: str
    version: str
    parameters: dict[str, JsonValue]
    seed: int = Field(ge=-(2**63), lt=2**64)
    parent: str = ""
