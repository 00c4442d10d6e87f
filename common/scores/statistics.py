"""Statistics of scores: interquartile mean, bootstrap intervals, summaries.

Every standard deviation here is the population's (divided by n), as in the assignment's marking log.

Credits: R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare 2021 (arXiv 2108.13264; the
interquartile mean and intervals for reinforcement learning, library rliable); B. Efron 1987 (doi
10.1080/01621459.1987.10478410, BCa intervals); SciPy's ``trim_mean`` and ``bootstrap``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy  # scipy.stats is loaded where it is first used; that takes a second
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Largest number of resampled scores in memory (32 MB): 2,000 resamples of a long run would be gigabytes.
_RESAMPLED_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Summary:
    """Statistics of the scores of whole games, in points.

    :param n: number of games
    :param mean_interval: BCa bootstrap interval (low, high) of the mean
    :param iqm: interquartile mean, see :func:`interquartile_mean`
    :param iqm_interval: BCa bootstrap interval (low, high) of the interquartile mean
    :param std: standard deviation of the population
    :param confidence: nominal coverage of both intervals, 0 to 1
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

    Of n sorted scores, floor(n / 4) are removed from each end and the others are averaged.

    :param scores: shape (..., n, ...), n at ``axis``, at least one
    :return: float64, the shape of ``scores`` without ``axis``
    :raises ValueError: without a score
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape[axis] == 0:
        raise ValueError("the interquartile mean needs at least one score")
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[..., Any],
    confidence: float = 0.95,
    resamples: int = 2000,
    *,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic, bias-corrected and accelerated (BCa, Efron 1987).

    The n scores are resampled n at a time with replacement. The ends of the interval are two quantiles of the statistic
    over the resamples, at (1 - confidence) / 2 and (1 + confidence) / 2, corrected for the bias of the resamples and
    for the change of the statistic's spread with its value (acceleration). If almost equal scores leave the correction
    undefined, it is omitted (percentile interval). One score, or equal scores, give an interval of zero width, which
    means that the sample is too small, not that the statistic is certain.

    :param scores: shape (n,), n at least 1
    :param statistic: called as ``statistic(samples, axis=-1)`` with samples of shape (k, n), returns shape
        (k,); ``numpy.mean``, ``numpy.median`` and :func:`interquartile_mean` are such functions
    :param confidence: between 0 and 1, both excluded
    :param resamples: number of resamples
    :param generator: random generator of the resamples
    :return: (low, high)
    :raises ValueError: for a wrong shape, no score, or a confidence or number of resamples out of range
    """
    return _interval((_vector(scores),), statistic, confidence, resamples, generator)


def difference_interval(
    scores: ArrayLike,
    others: ArrayLike,
    statistic: Callable[..., Any],
    confidence: float = 0.95,
    resamples: int = 2000,
    *,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Bootstrap interval of ``statistic(scores) - statistic(others)``, which are resampled separately.

    The other parameters are those of :func:`bootstrap_interval`.
    """

    def difference(samples: FloatArray, other_samples: FloatArray, axis: int) -> Any:
        return statistic(samples, axis=axis) - statistic(other_samples, axis=axis)

    return _interval((_vector(scores), _vector(others)), difference, confidence, resamples, generator)


def _interval(
    samples: tuple[FloatArray, ...],
    statistic: Callable[..., Any],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")
    # SciPy needs two scores; a score twice has the same resamples as the score alone.
    samples = tuple(np.repeat(each, 2) if each.size == 1 else each for each in samples)
    bootstrap = partial(scipy.stats.bootstrap, samples, statistic, vectorized=True, confidence_level=confidence)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        batch = max(1, _RESAMPLED_AT_ONCE // sum(each.size for each in samples))
        found = bootstrap(n_resamples=resamples, batch=batch, method="BCa", rng=generator)
        if np.isnan(found.confidence_interval).any():
            found = bootstrap(n_resamples=0, bootstrap_result=found, method="percentile")
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def summarise(
    scores: ArrayLike, generator: np.random.Generator, confidence: float = 0.95, resamples: int = 2000
) -> Summary:
    """Summary of whole-game scores.

    :param scores: shape (n,), points, n at least 1, all finite
    :param generator: random generator of the resamples, first for the interval of the mean, then for that of the IQM
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


def _vector(scores: ArrayLike) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"scores have shape {values.shape}; expected (n,) with n at least 1")
    return values
