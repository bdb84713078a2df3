"""Whether a model does better than guessing."""

from __future__ import annotations

import numpy as np
import pytest

from paddlepress.data import Split
from paddlepress.evaluation.chance import near_chance
from paddlepress.tasks import Classification


class Oracle:
    """Stands for a model: knows the labels, and is wrong in some share of the examples."""

    preprocessing = None

    def __init__(self, classes: int, right: float) -> None:
        self.task = Classification(classes=tuple(map(str, range(classes))))
        self.right = right

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        labels, count = inputs[:, 0].astype(int), len(self.task.classes)
        wrong = np.arange(len(labels)) >= round(self.right * len(labels))
        return np.eye(count, dtype=np.float32)[(labels + wrong) % count]


def split(labels: np.ndarray) -> Split:
    shuffled = np.random.default_rng(0).permutation(labels)
    return Split(shuffled[:, None].astype(np.float32), shuffled)


EVEN = np.arange(1000) % 10
SKEWED = np.repeat([0, 1], [950, 50])


@pytest.mark.parametrize(
    ("labels", "right", "words"),
    [
        (EVEN, 0.10, "that of guessing among 10 classes is 10.0%"),
        (EVEN, 0.15, "Accuracy of the base model on the validation examples is 15.0%"),
        (EVEN, 0.50, ""),
        (SKEWED, 0.95, "always naming the most frequent class is 95.0%"),
        (SKEWED, 0.99, ""),
        (EVEN[:20], 0.20, "guessing among 10 classes"),  # four of twenty may be luck
        (EVEN[:20], 0.90, ""),
        (EVEN[:0], 0.0, ""),
    ],
)
def test_a_model_that_guesses_is_warned_of(labels: np.ndarray, right: float, words: str) -> None:
    """Guessing is a class at random or the most frequent one; few examples must show more than many."""
    classes = 2 if labels is SKEWED else 10
    told = near_chance(Oracle(classes, right), split(labels), "its training")  # type: ignore[arg-type]
    assert words in told if words else told == ""
    assert not told or told.endswith("Look at its training")
