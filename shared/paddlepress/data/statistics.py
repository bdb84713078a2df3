"""The preprocessing that training inputs suggest: numbers brought to mean 0 and deviation 1, a table for text."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples
from paddlepress.data.texts import Texts
from paddlepress.data.tokens import Tokens
from paddlepress.spec.preprocessing import InputPreprocessing, NamedPreprocessing, Preprocessing, Tokenization
from paddlepress.spec.preprocessing.tokens import cut

_USUAL_MOST = 512


def measured(train: Examples, tokens: Tokens | None = None) -> InputPreprocessing | NamedPreprocessing:
    """The preprocessing that training inputs [n, channels, ...] suggest: of uint8 (divided by 255), float32 or text.

    A channel that never varies gets a standard deviation of 1. Several inputs have each their own.

    Args:
        train: the training examples.
        tokens: how texts become numbers; the usual way if not stated.
    """
    found: dict[str, InputPreprocessing] = {}
    for name, array in train.arrays.items():
        text = isinstance(array, Texts)
        found[name] = _table(train, name, tokens or Tokens()) if text else _measured(train, name)
    return NamedPreprocessing(found) if len(found) > 1 else next(iter(found.values()))


def _table(train: Examples, name: str, tokens: Tokens) -> Tokenization:
    """The most frequent tokens first, equally frequent ones in the order of their signs."""
    counts: Counter[str] = Counter()
    lengths = []
    for chunk in train.chunks(name):
        for text in chunk:
            found = cut(text, tokens.unit)
            counts.update(found)
            lengths.append(len(found))
    if not counts:
        raise DataError(f"{train.origin}: all texts of the training examples are blank. Valid: some that are not")
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    usual = int(np.percentile(lengths, 95, method="higher"))
    return Tokenization(
        unit=tokens.unit,
        vocabulary=tuple(ordered[: tokens.vocabulary]),
        length=tokens.length or min(max(usual, 1), _USUAL_MOST),
    )


def _measured(train: Examples, name: str) -> Preprocessing:
    pixels = train.arrays[name].dtype == np.uint8
    moments = _byte_moments(train, name) if pixels else _float_moments(train.values(name))
    return Preprocessing(
        dtype="uint8" if pixels else "float32",
        scale=255.0 if pixels else 1.0,
        mean=tuple(mean for mean, _ in moments),
        # Rounding can leave a constant channel a deviation of its last bit.
        std=tuple(std if std > 1e-7 * max(1.0, abs(mean)) else 1.0 for mean, std in moments),
    )


def _byte_moments(train: Examples, name: str) -> list[tuple[float, float]]:
    """Mean and standard deviation of bytes / 255, exact, so that every machine finds the same digest."""
    histograms = np.zeros((train.arrays[name].shape[1], 256), np.int64)
    for chunk in train.chunks(name):
        for channel, histogram in enumerate(histograms):
            histogram += np.bincount(chunk[:, channel].reshape(-1), minlength=256)
    return [_moments_of_counts([int(count) for count in histogram]) for histogram in histograms]


def _moments_of_counts(counts: list[int]) -> tuple[float, float]:
    number = sum(counts)
    total = sum(count * value for value, count in enumerate(counts))
    squares = sum(count * value * value for value, count in enumerate(counts))
    return total / (255 * number), math.sqrt(number * squares - total * total) / (255 * number)


def _float_moments(inputs: NDArray[Any]) -> list[tuple[float, float]]:
    """Mean and standard deviation, rounded to what does not depend on the order of summation."""
    channels = (inputs[:, channel] for channel in range(inputs.shape[1]))
    return [
        (float(np.float32(channel.mean(dtype=np.float64))), float(np.float32(channel.std(dtype=np.float64))))
        for channel in channels
    ]
