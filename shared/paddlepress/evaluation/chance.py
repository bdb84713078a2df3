"""Whether a model does better than guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from paddlepress.evaluation.accuracy import accuracy, wilson_interval

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.model import Model

_NEXT_TO_NOTHING = 0.1
"""The share of the way from guessing to always right that a model must have come."""


def near_chance(model: Model, split: Split, look_at: str) -> str:
    """A warning if a model is hardly better than guessing on held-out examples; empty if it is.

    Guessing is one class in so many, or always the most frequent class, if that is right more often. Hardly better
    is an accuracy whose 95% interval reaches down to it, or that is less than a tenth of the way from it to 100%.

    Args:
        model: in memory.
        split: inputs as its network takes them; an empty one warns of nothing.
        look_at: what may be wrong, for the message.
    """
    if not len(split):
        return ""
    percent = accuracy(model.predict(split.inputs), split.labels)
    largest = 100.0 * float(np.bincount(split.labels).max()) / len(split)
    even = 100.0 / len(model.task.classes)
    chance = max(even, largest)
    if wilson_interval(percent, len(split))[0] > chance and percent > chance + _NEXT_TO_NOTHING * (100 - chance):
        return ""
    count = len(model.task.classes)
    guess = f"naming one of {count} classes at random" if even >= largest else "always naming the same class"
    about = f" (now {model.preprocessing.text()})" if model.preprocessing is not None else ""
    return (
        f"the base model is right in {percent:.1f}% of {len(split):,} validation examples, and {guess} is in "
        f"{chance:.1f}%: what is made from it is worth nothing. Look at {look_at}{about}"
    )
