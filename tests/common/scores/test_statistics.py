"""Interquartile mean, bootstrap intervals and summary against values worked out by hand.

Credits: B. Efron and R. J. Tibshirani 1993, An Introduction to the Bootstrap (exact BCa endpoints).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.scores.statistics import bootstrap_interval, difference_interval, interquartile_mean, summarise

SKEWED = [0, 100, 250, 250, 350, 0, 600, 200, 100, 450, 0, 2300]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([5], 5.0),  # nothing is cut below four scores
        ([3, 1, 2], 2.0),
        ([2300, 0, 50, 100], 75.0),  # one is cut at each end
        ([10, 20, 30, 40, 1000], 30.0),  # of five still one: (20 + 30 + 40) / 3
        ([0, 0, 100, 100, 250, 250, 250, 600, 850], 190.0),  # two of nine: 950 / 5
        (SKEWED, 1250 / 6),  # three of twelve: 100, 100, 200, 250, 250, 350
    ],
)
def test_interquartile_mean_by_hand(scores: list[int], expected: float) -> None:
    assert interquartile_mean(scores) == pytest.approx(expected, abs=1e-12)
    assert interquartile_mean(scores[::-1]) == pytest.approx(expected, abs=1e-12)


def test_interquartile_mean_reduces_one_axis() -> None:
    table = np.array([[0, 8], [2, 8], [4, 8], [100, 9]])
    assert interquartile_mean(table, axis=0).tolist() == [3.0, 8.0]
    assert interquartile_mean(table).tolist() == [4.0, 5.0, 6.0, 54.5]


def test_interquartile_mean_leaves_its_argument_alone() -> None:
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    interquartile_mean(scores)
    assert scores.tolist() == [3.0, 1.0, 2.0, 0.0]


def test_interquartile_mean_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one score"):
        interquartile_mean([])


# The exact BCa endpoints, worked out apart from SciPy by Efron and Tibshirani 1993, equations 14.10 to 14.15, from all
# 5^5 resamples of a set, which are equally probable (for a difference, from all pairs of them).
FIVE, STEADY, UNSTEADY = [0, 100, 250, 600, 2300], [217, 220, 258, 233, 235], [167, 245, 169, 289, 274]


@pytest.mark.parametrize(
    ("scores", "statistic", "low", "high"),
    [
        (FIVE, np.mean, 160.0, 1890.0),  # the percentile interval is [140, 1460]
        (FIVE, interquartile_mean, 100 / 3, 5200 / 3),
        (STEADY, np.mean, 222.0, 248.4),
        (UNSTEADY, interquartile_mean, 503 / 3, 279.0),
    ],
)
def test_bootstrap_against_all_resamples(
    scores: list[int], statistic: Callable[..., Any], low: float, high: float
) -> None:
    found = bootstrap_interval(scores, statistic, resamples=50_000, generator=np.random.default_rng(742))
    assert found == pytest.approx((low, high), abs=0.02 * (high - low))


def test_bootstrap_of_a_difference_against_all_resamples() -> None:
    generator = np.random.default_rng(742)
    found = difference_interval(UNSTEADY, STEADY, interquartile_mean, resamples=50_000, generator=generator)
    assert found == pytest.approx((-205 / 3, 154 / 3), abs=2.0)
    found = difference_interval(FIVE, STEADY, np.mean, 0.9, resamples=50_000, generator=generator)
    assert found == pytest.approx((-43.4, 1317.8), abs=4.0)


def test_a_difference_covers_the_true_one() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        runs, others = rng.normal(1.0, 1.0, 12), rng.normal(0.0, 1.0, 12)
        low, high = difference_interval(runs, others, interquartile_mean, generator=rng)
        assert low < high
        inside += low <= 1.0 <= high
    assert 86 <= inside <= 99  # 95 % of 100, within three standard deviations and a little for few runs
    assert difference_interval([3.0] * 5, [1.0] * 5, interquartile_mean, generator=rng) == (2.0, 2.0)


def test_bootstrap_of_two_scores_is_the_binomial_distribution() -> None:
    # Means of resamples of (0, 100): 0 with 1/4, 50 with 1/2, 100 with 1/4.
    generator = np.random.default_rng(1)
    assert bootstrap_interval([0, 100], np.mean, confidence=0.6, generator=generator) == (0.0, 100.0)
    assert bootstrap_interval([0, 100], np.mean, confidence=0.4, generator=generator) == (50.0, 50.0)


def test_bootstrap_is_decided_by_its_generator() -> None:
    first, again, other = (
        bootstrap_interval(SKEWED, np.mean, generator=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_bootstrap_of_many_scores_is_drawn_in_parts() -> None:
    # 5,000 x 1,000 scores are more than are held at once; the interval of the mean is +- 1.96 / sqrt(n).
    scores = np.random.default_rng(0).standard_normal(5_000)
    low, high = bootstrap_interval(scores, np.mean, resamples=1_000, generator=np.random.default_rng(1))
    centre, half = float(scores.mean()), 1.96 / math.sqrt(scores.size)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=half / 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", [[250], [250] * 7])
def test_bootstrap_of_one_score_and_of_equal_scores_has_no_width(scores: list[int]) -> None:
    for statistic in (np.mean, np.median, interquartile_mean):
        assert bootstrap_interval(scores, statistic, generator=np.random.default_rng(0)) == (250.0, 250.0)


@pytest.mark.filterwarnings("error")
def test_bootstrap_without_a_jackknife_that_varies_is_the_percentile_interval() -> None:
    # Any four of these scores have the same interquartile mean, so that the acceleration is 0 / 0. The middle three of
    # a resample have the mean 0 where at most one 100 is drawn, (1 + 5 x 4) / 3125 = 0.7 % of resamples, and 100 / 3
    # where two are, 10 x 16 / 3125 = 5.1 %: the quantile of 2.5 % is 100 / 3.
    found = bootstrap_interval([0, 100, 100, 100, 100], interquartile_mean, generator=np.random.default_rng(0))
    assert found[0] == pytest.approx(100 / 3) and found[1] == 100.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": []}, "at least 1"),
        ({"scores": [[1, 2]]}, "shape"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"resamples": 0}, "resamples is 0"),
    ],
)
def test_bootstrap_refuses(arguments: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"scores": [1, 2, 3], "statistic": np.mean, "generator": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**(usual | arguments))


def test_summary_by_hand() -> None:
    summary = summarise([0, 100, 200, 500], np.random.default_rng(742))
    assert (summary.n, summary.mean, summary.median, summary.iqm) == (4, 200.0, 150.0, 150.0)
    assert (summary.minimum, summary.best, summary.confidence) == (0.0, 500.0, 0.95)
    assert summary.std == pytest.approx(math.sqrt(35_000))  # (40,000 + 10,000 + 0 + 90,000) / 4
    assert 0 <= summary.mean_interval[0] < 200 < summary.mean_interval[1] <= 500
    assert 0 <= summary.iqm_interval[0] < 150 < summary.iqm_interval[1] <= 500
    assert summary == summarise([0, 100, 200, 500], np.random.default_rng(742))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_summary_refuses_what_is_no_number(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarise([100, score], np.random.default_rng(0))
