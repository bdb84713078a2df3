"""What a network takes."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from paddlepress.spec.record import Record

_LARGEST_INPUT = 2**28  # numbers of one example


class TensorSpec(Record):
    """One input of a network; the first dimension is the batch and is left out of `shape`.

    Attributes:
        name, shape, dtype: its own.
        vocabulary: of whole numbers that are looked up in a table how many it has: they are 0 to this less one.
    """

    name: str = Field(min_length=1, max_length=200)
    shape: tuple[Annotated[int, Field(ge=1, le=_LARGEST_INPUT)], ...] = Field(max_length=8)
    dtype: str = Field(default="float32", pattern="^(float|int|uint)(16|32|64)$|^u?int8$|^bool$")

    vocabulary: Annotated[int, Field(ge=1, le=_LARGEST_INPUT)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_stated(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Digests of models are older than vocabularies."""
        found: dict[str, Any] = serialize(self)
        return {name: value for name, value in found.items() if name != "vocabulary" or value is not None}

    @field_validator("shape")
    @classmethod
    def _not_vast(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if prod(value) > _LARGEST_INPUT:
            raise ValueError(f"an input of {prod(value):,} numbers is larger than any")
        return value
