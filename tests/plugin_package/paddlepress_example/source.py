"""A source of one's own: how much ink a digit takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paddlepress import Source

if TYPE_CHECKING:
    from paddlepress import Raw


class Ink(Source):
    """scikit-learn's digits with the number of their dark pixels."""

    source: Literal["ink"] = Field(default="ink", description="where the data come from")
    darkness: int = Field(default=8, ge=0, le=16, description="a pixel is dark from the next value on")

    def read(self, into: Path, progress: Any) -> Raw:
        from sklearn.datasets import load_digits

        from paddlepress import Examples, Raw

        images = load_digits().images.astype("uint8")
        inked = (images > self.darkness).sum(axis=(1, 2))
        return Raw("ink", Examples.of(images, inked, "scikit-learn's digits"), columns=("inked",))

    def shape(self) -> tuple[int, ...]:
        return (1, 8, 8)
