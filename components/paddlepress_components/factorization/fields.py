"""How ranks are chosen, as fields; imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RankFields(BaseModel):
    """How ranks are chosen: by `ratio`, unless one of the others is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float = Field(default=5.5, gt=1, description="how many times smaller each layer's weight gets")
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="takes the place of ratio: share of the squared singular values to keep"
    )
    macs: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="takes the place of ratio: share of the multiply-accumulates to leave, of all layers of the kind "
        "together; ranks are such that the layers keep the same share of their energy",
    )
    evbmf: bool = Field(
        default=False, description="takes the place of ratio: as many components as stand out from noise"
    )

    @model_validator(mode="after")
    def _one_way(self) -> RankFields:
        chosen = [name for name in ("energy", "macs") if getattr(self, name) is not None] + ["evbmf"] * self.evbmf
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are set, but ranks are chosen by one of them")
        return self
