"""Variants as components are given them: one structure each, so that a loop can hand them on whole."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Made(BaseModel):
    """A technique of a chain, as the recipe writes it."""

    model_config = ConfigDict(extra="forbid")

    technique: str
    parameters: dict[str, Any] = {}


class MadeVariant(BaseModel):
    """A variant, and the digest of what makes it in the recipe."""

    model_config = ConfigDict(extra="forbid")

    variant: str
    recipe_digest: str


class ChainedVariant(MadeVariant):
    """A variant with the techniques that make it.

    Attributes:
        chain: in their order; none for the base model.
        begun: how many of them the model that it is made from has been through.
    """

    chain: tuple[Made, ...] = ()
    begun: int = Field(default=0, ge=0)
