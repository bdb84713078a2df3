"""How sure a figure is that was measured on a sample."""

from __future__ import annotations


def wilson(percent: float, count: int) -> tuple[float, float]:
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
