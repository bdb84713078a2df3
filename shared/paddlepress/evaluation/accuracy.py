"""How many test examples a model gets right, and how sure that number is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddlepress.core.errors import DataError
from paddlepress.evaluation.result import ClassResult
from paddlepress.spec.tensors import Array


def accuracy(logits: Array, labels: Array) -> float:
    """Share of examples whose largest logit is the label's, in percent.

    Args:
        logits: float array [n, classes].
        labels: int array [n].

    Raises:
        DataError: there are no examples, or not as many logits as labels.
    """
    if len(logits) != len(labels) or not len(labels):
        raise DataError(
            f"accuracy needs as many predictions as labels, and at least one; got {len(logits)} and {len(labels)}"
        )
    return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))


def wilson_interval(percent: float, count: int) -> tuple[float, float]:
    """The 95% confidence interval of a share, in percent.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927. Unlike the
    normal approximation it holds near 100%.

    Args:
        percent: the share of the examples that was observed.
        count: how many examples there were, at least one.
    """
    from scipy.stats import binomtest

    found = binomtest(round(percent * count / 100), count).proportion_ci(method="wilson")
    return 100.0 * float(found.low), 100.0 * float(found.high)


def agreement(logits: Array, others: Array) -> float:
    """Share of examples that two models classify alike, in percent.

    Args:
        logits, others: float arrays [n, classes].
    """
    return accuracy(logits, others.argmax(axis=1))


def per_class(logits: Array, base: Array, labels: Array, classes: Sequence[str]) -> list[ClassResult]:
    """Accuracy of each class that has examples, beside the base model's.

    Args:
        logits: float array [n, classes] of the model.
        base: the same of the base model.
        labels: int array [n].
        classes: the classes' names, in the order of the logits.
    """
    rows = []
    for index, name in enumerate(classes):
        chosen = labels == index
        if not chosen.any():
            continue
        mine, theirs = accuracy(logits[chosen], labels[chosen]), accuracy(base[chosen], labels[chosen])
        count = int(chosen.sum())
        rows.append(ClassResult(name=name, count=count, accuracy=mine, base_accuracy=theirs, change=mine - theirs))
    return rows
