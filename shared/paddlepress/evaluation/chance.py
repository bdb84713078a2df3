"""Whether a model does better than guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paddlepress.spec.metric import Metric
from paddlepress.tasks.base import Guess, Score

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
    guess = model.task.guess(split.labels) if len(split) else None
    if guess is None:
        return ""
    score = model.task.score(model.predict(split.inputs), split.labels)
    about = f" (now {model.preprocessing.text()})" if model.preprocessing is not None else ""
    return warning(score, guess, model.task.metrics[model.task.primary], "validation", f"{look_at}{about}")


def warning(score: Score, guess: Guess, metric: Metric, split: str, look_at: str) -> str:
    """A warning if a base model is hardly better than guessing; empty if it is better.

    Hardly better is a score whose 95% interval reaches down to that of guessing, or that is less than a tenth of the
    way from it to 100%.

    Args:
        score, guess: of the model, and of guessing.
        metric: what they are; in percent, more is better.
        split: which examples, such as `test`.
        look_at: what may be wrong.
    """
    if score.low > guess.value and score.value > guess.value + _NEXT_TO_NOTHING * (100 - guess.value):
        return ""
    return (
        f"{metric.label} of the base model on the {split} examples is {score.value:.1f}%, and that of {guess.words} is "
        f"{guess.value:.1f}%: what is made from it is worth nothing. Look at {look_at}"
    )
