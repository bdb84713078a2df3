"""scikit-learn's 8x8 digits: 1,797 images, on every machine, for runs that take seconds.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddlepress.core.progress import Progress
from paddlepress.data.config import DataConfig
from paddlepress.data.raw import Raw, examples


def read(config: DataConfig, into: Path, progress: Progress) -> Raw:
    """Read the digits; their pixels are 0..16, and there is no split of its own."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    whole = examples(digits.images.astype(np.uint8), digits.target, "scikit-learn's digits")
    return Raw("digits", whole, classes=tuple(str(label) for label in range(10)))
