"""Shares, and how far they can be trusted.

Credits: Wilson 1927 (doi 10.1080/01621459.1927.10502953, interval of a share), with SciPy's ``binomtest``.
"""

from __future__ import annotations

from scipy.stats import binomtest


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, 0 to 1, which holds near 0 and 1 too."""
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
