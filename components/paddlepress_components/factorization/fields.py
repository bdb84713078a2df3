"""How ranks are chosen, as fields; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from paddlepress.core.fields import When
from paddlepress_components.width_fields import AUTO, RoundTo, WidthFields


class RankFields(WidthFields):
    """How ranks are chosen: by `ratio`, unless one of the others is set."""

    ratio: Annotated[float, When("energy", None), When("macs", None), When("latency", None), When("evbmf", False)] = (
        Field(default=5.5, gt=1, description="how many times smaller each layer's weight gets")
    )
    energy: float | None = Field(
        default=None, gt=0, lt=1, description="takes the place of ratio: share of the squared singular values to keep"
    )
    macs: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="takes the place of ratio: share of the multiply-accumulates to leave, of all layers of the kind "
        "together; ranks are such that the least energy is lost, or with method cp the fewest components",
    )
    latency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="takes the place of ratio: the same for the time, as estimated from measured times of the "
        "runtime's kernels with floats",
    )
    evbmf: bool = Field(
        default=False, description="takes the place of ratio: as many components as stand out from noise"
    )
    round_to: RoundTo = Field(
        default=AUTO,
        description="ranks are multiples of this many; auto: of as many as the runtime's kernels compute together, "
        "and layers are left alone whose factors are estimated to take longer than they do. A number leaves none "
        "alone, for who wants them small",
    )

    @model_validator(mode="after")
    def _one_way(self) -> RankFields:
        chosen = [name for name in ("energy", "macs", "latency") if getattr(self, name) is not None]
        chosen += ["evbmf"] * self.evbmf
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are set, but ranks are chosen by one of them")
        return self
