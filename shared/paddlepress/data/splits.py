"""Divide examples at random, class by class, following a seed.

scikit-learn's stratified splits refuse a class of one example and a part smaller than the number of classes, and may
hold out a class whole; a recipe's data may be such, and here every class keeps an example to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError
from paddlepress.data.raw import Examples, Raw

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Divided:
    """What techniques learn from, and what variants are judged on."""

    train: Examples
    validation: Examples
    calibration: Examples
    test: Examples


class Sizes(Protocol):
    """How large splits are to be, see `Source`."""

    @property
    def validation(self) -> float: ...
    @property
    def test(self) -> float: ...
    @property
    def calibration(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def test_limit(self) -> int | None: ...
    @property
    def seed(self) -> int: ...


def divide(raw: Raw, sizes: Sizes) -> Divided:
    """Give a data set the splits that its source lacks, and cut them to the sizes asked for.

    The test split is taken first and the validation split next, so that neither depends on `limit`.

    Raises:
        DataError: a split would be empty.
    """
    # One stream of random numbers a purpose: changing one size leaves the other splits as they are.
    test_seed, validation_seed, limit_seed, test_limit_seed, calibration_seed = np.random.SeedSequence(
        sizes.seed
    ).spawn(5)
    train, test = raw.train, raw.test
    if test is None:
        train, test = _hold_out(train, sizes.test, "test", test_seed)
    validation = raw.validation
    if validation is None:
        train, validation = _hold_out(train, sizes.validation, "validation", validation_seed)
    if sizes.limit is not None and sizes.limit < len(train):
        share = sizes.limit / len(train)
        train = train.take(stratified_sample(strata(train), sizes.limit, limit_seed))
        kept = max(1, round(share * len(validation)))
        validation = validation.take(stratified_sample(strata(validation), kept, limit_seed))
    if sizes.test_limit is not None:
        test = test.take(stratified_sample(strata(test), sizes.test_limit, test_limit_seed))
    calibration = train.take(balanced_sample(strata(train), sizes.calibration, calibration_seed))
    return Divided(train, validation, calibration, test)


def strata(part: Examples) -> NDArray[np.int64]:
    """What examples are divided by, int64 [n]: their classes; where they have none all are alike."""
    if part.targets.ndim == 1 and part.targets.dtype == np.int64:
        return part.targets
    return np.zeros(len(part), np.int64)


def held_out(labels: NDArray[np.int64], share: float, seed: int | np.random.SeedSequence) -> tuple[Indices, Indices]:
    """Split positions in two, each class in the same proportion.

    Args:
        labels: int64 [n].
        share: of the positions to hold out, within one example of it for each class. Every class that
            occurs keeps an example.
        seed: decides which.

    Returns:
        The positions kept and those held out, both sorted; together they are 0..n-1.
    """
    counts = np.bincount(labels)
    quotas = apportion(counts * share, round(share * len(labels)), np.maximum(counts - 1, 0))
    chosen = _choose(labels, quotas, seed)
    return np.setdiff1d(np.arange(len(labels)), chosen, assume_unique=True), chosen


def stratified_sample(labels: NDArray[np.int64], count: int, seed: int | np.random.SeedSequence) -> Indices:
    """Sorted positions of at most `count` examples, each class in the same proportion as in `labels`."""
    counts = np.bincount(labels)
    count = min(count, len(labels))
    return _choose(labels, apportion(counts * (count / len(labels)), count, counts), seed)


def balanced_sample(labels: NDArray[np.int64], count: int, seed: int | np.random.SeedSequence) -> Indices:
    """Sorted positions of at most `count` examples, as many of each class as of any other.

    A class that has too few gives all it has, and the others make up for it.
    """
    left = np.bincount(labels)
    quotas = np.zeros_like(left)
    missing = min(count, len(labels))
    while missing:
        open_classes = np.flatnonzero(left)
        each = min(missing // len(open_classes), int(left[open_classes].min()))
        if each:
            given = open_classes
        else:  # fewer than one each: the first classes get one more
            each, given = 1, open_classes[:missing]
        quotas[given] += each
        left[given] -= each
        missing -= each * len(given)
    return _choose(labels, quotas, seed)


def apportion(ideal: NDArray[np.floating[Any]], total: int, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers that add up to `total` and differ from their ideals by less than one.

    The largest remainders are rounded up (Hamilton's method); none exceeds `most`, even if the sum then
    falls short of `total`.
    """
    whole: Indices = np.minimum(np.floor(ideal + 1e-9).astype(np.int64), most)
    remainders = ideal - whole
    # A stable sort: equal remainders go to the lower label.
    order = np.argsort(-remainders, kind="stable")
    takers = [label for label in order if whole[label] < most[label]]
    whole[takers[: max(0, total - int(whole.sum()))]] += 1
    return whole


def _choose(labels: NDArray[np.int64], quotas: NDArray[np.int64], seed: int | np.random.SeedSequence) -> Indices:
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota] for label, quota in enumerate(quotas) if quota
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def _hold_out(whole: Examples, share: float, name: str, seed: np.random.SeedSequence) -> tuple[Examples, Examples]:
    kept, held = held_out(strata(whole), share, seed)
    if not len(held):
        raise DataError(
            f"{whole.origin}: the {name} split would be empty: {share:g} of {len(whole)} examples. "
            f"Valid: more examples, or a larger '{name}'"
        )
    return whole.take(kept), whole.take(held)
