"""Statistics of scores: interquartile mean, bootstrap intervals, summaries, trailing means.

Every standard deviation here is the population's (divided by n), as in the assignment's marking log.

Credits: R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare 2021 (arXiv 2108.13264; the
interquartile mean and intervals for reinforcement learning, library rliable); B. Efron 1979 (the bootstrap);
NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# How many resampled scores are held in memory at once (32 MB): 2,000 resamples of a long run are gigabytes.
_RESAMPLED_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Summary:
    """What a set of whole-game scores says, in points.

    :param n: number of games
    :param mean_interval: percentile bootstrap interval (low, high) of the mean
    :param iqm: interquartile mean, see :func:`interquartile_mean`
    :param iqm_interval: percentile bootstrap interval (low, high) of the interquartile mean
    :param std: standard deviation of the population
    :param confidence: share that both intervals are meant to cover, 0 to 1
    """

    n: int
    mean: float
    mean_interval: tuple[float, float]
    median: float
    iqm: float
    iqm_interval: tuple[float, float]
    std: float
    minimum: float
    best: float
    confidence: float


def interquartile_mean(scores: ArrayLike, axis: int = -1) -> Any:
    """Mean of the middle half of the scores: the 25% trimmed mean (Agarwal et al. 2021).

    Of n sorted scores, floor(n / 4) are cut from each end and the rest is averaged. That is
    ``scipy.stats.trim_mean(scores, 0.25)``, and rliable's definition.

    :param scores: shape (..., n, ...), n at ``axis``, at least one
    :return: float64, the shape of ``scores`` without ``axis``
    :raises ValueError: without a score
    """
    values = np.moveaxis(np.asarray(scores, dtype=np.float64), axis, -1)
    n = values.shape[-1]
    if n == 0:
        raise ValueError("the interquartile mean needs at least one score")
    cut = n // 4
    if cut:
        values = np.partition(values, (cut, n - cut - 1), axis=-1)
    return values[..., cut : n - cut].mean(axis=-1)


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[..., Any],
    confidence: float = 0.95,
    resamples: int = 2000,
    *,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic.

    The n scores are drawn n at a time with replacement; the interval lies between the quantiles
    (1 - confidence) / 2 and (1 + confidence) / 2 of the statistic over the resamples. One score, or equal
    scores, give an interval of no width: that says that the sample is too small, not that it is certain.

    :param scores: shape (n,), n at least 1
    :param statistic: called as ``statistic(samples, axis=-1)`` with samples of shape (k, n), returns shape
        (k,); ``numpy.mean``, ``numpy.median`` and :func:`interquartile_mean` are such functions
    :param confidence: between 0 and 1, both excluded
    :param resamples: how many times the scores are drawn
    :param generator: source of the draws
    :return: (low, high)
    :raises ValueError: for a wrong shape, no score, or a confidence or number of resamples out of range
    """
    values = _vector(scores)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    n = values.size
    rows = max(1, _RESAMPLED_AT_ONCE // n)
    drawn = np.empty(resamples)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        sample = values[generator.integers(0, n, size=(count, n))]
        result = np.asarray(statistic(sample, axis=-1))
        if result.shape != (count,):
            raise ValueError(f"the statistic returned shape {result.shape} for {count} samples of {n} scores")
        drawn[start : start + count] = result
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return float(low), float(high)


def summarise(
    scores: ArrayLike, generator: np.random.Generator, confidence: float = 0.95, resamples: int = 2000
) -> Summary:
    """Summary of whole-game scores.

    :param scores: shape (n,), points, n at least 1, all finite
    :param generator: source of the bootstrap's draws; the mean's interval is drawn first, then the IQM's
    :raises ValueError: without a score, or with one that is not a finite number
    """
    values = _vector(scores)
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    return Summary(
        n=values.size,
        mean=float(values.mean()),
        mean_interval=bootstrap_interval(values, np.mean, confidence, resamples, generator=generator),
        median=float(np.median(values)),
        iqm=float(interquartile_mean(values)),
        iqm_interval=bootstrap_interval(values, interquartile_mean, confidence, resamples, generator=generator),
        std=float(values.std()),
        minimum=float(values.min()),
        best=float(values.max()),
        confidence=confidence,
    )


def trailing_mean(scores: ArrayLike, window: int, minimum: int | None = None) -> FloatArray:
    """Mean of the last ``window`` scores at every position.

    :param scores: shape (n,), n may be 0
    :param window: number of scores, at least 1
    :param minimum: with fewer scores than this the mean is NaN; default: ``window``, so that the first
        ``window - 1`` positions are NaN
    :return: shape (n,), float64
    :raises ValueError: for a window below 1 or a wrong shape
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores have shape {values.shape}; expected (n,)")
    if window < 1:
        raise ValueError(f"window is {window}; it must be at least 1")
    totals = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, values.size + 1)
    starts = np.maximum(ends - window, 0)
    counts = ends - starts
    means: FloatArray = (totals[ends] - totals[starts]) / counts
    means[counts < (window if minimum is None else minimum)] = np.nan
    return means


def _vector(scores: ArrayLike) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"scores have shape {values.shape}; expected (n,) with n at least 1")
    return values
