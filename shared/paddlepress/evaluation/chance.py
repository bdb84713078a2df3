"""Whether a model does better than guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.network.model import Model

_NEXT_TO_NOTHING = 0.1
"""The share of the way from guessing to always right that a model must have come."""


def near_chance(model: Model, split: Split, look_at: str) -> str:
    """A warning if a base model is hardly better than guessing on held-out examples; empty if it is better.

    Args:
        model: in memory.
        split: inputs as its network takes them; an empty one warns of nothing.
        look_at: what may be wrong, for the message.
    """
    import numpy as np

    if not len(split):
        return ""
    score = model.task.score(model.predict(split.inputs), split.labels)
    most = int(np.bincount(split.labels).max())
    about = f" (now {model.preprocessing.text()})" if model.preprocessing is not None else ""
    return warning(
        score.value, score.low, model.task.out_features, most / len(split), "validation", f"{look_at}{about}"
    )


def warning(percent: float, low: float, classes: int, most: float, split: str, look_at: str) -> str:
    """A warning if a base model's accuracy is hardly better than guessing; empty if it is better.

    Guessing is one class of all at random, or always the most frequent one, if that is right more often. Hardly better
    is an accuracy whose 95% interval reaches down to it, or that is less than a tenth of the way from it to 100%.

    Args:
        percent: the accuracy.
        low: lower end of its interval, percent.
        classes: how many there are.
        most: the most frequent class's share of the examples, 0 to 1.
        split: which examples, such as `test`.
        look_at: what may be wrong.
    """
    even, largest = 100 / classes, 100 * most
    chance = max(even, largest)
    if low > chance and percent > chance + _NEXT_TO_NOTHING * (100 - chance):
        return ""
    guess = "always naming the most frequent class" if largest > even else f"guessing among {classes} classes"
    return (
        f"The base model is right in {percent:.1f}% of the {split} examples, and {guess} is in {chance:.1f}%: what is "
        f"made from it is worth nothing. Look at {look_at}"
    )
