"""scikit-learn's 8x8 digits: 1,797 images, on every machine, for runs that take seconds.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from paddlepress.core.progress import Progress
from paddlepress.data.source import Source

if TYPE_CHECKING:
    from paddlepress.data.raw import Raw


class Digits(Source):
    """scikit-learn's 8x8 digits, which need no network."""

    source: Literal["digits"] = Field(default="digits", description="where the data come from")

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the digits; their pixels are 0..16, and there is no split of its own."""
        import numpy as np
        from sklearn.datasets import load_digits

        from paddlepress.data.raw import Examples, Raw

        digits = load_digits()
        whole = Examples.of(digits.images.astype(np.uint8), digits.target, "scikit-learn's digits")
        return Raw("digits", whole, classes=tuple(str(label) for label in range(10)))

    def shape(self) -> tuple[int, ...]:
        """One channel of 8 by 8 pixels."""
        return (1, 8, 8)
