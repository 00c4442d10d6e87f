"""Interquartile mean, bootstrap, summary and trailing mean against values worked out by hand or by SciPy.

Credits: none.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.scores.statistics import bootstrap_interval, interquartile_mean, summarise, trailing_mean

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
def test_interquartile_mean_by_hand(scores, expected):
    # scipy.stats.trim_mean(scores, 0.25) of SciPy 1.17 gives the same six numbers.
    assert interquartile_mean(scores) == pytest.approx(expected, abs=1e-12)
    assert interquartile_mean(scores[::-1]) == pytest.approx(expected, abs=1e-12)


def test_interquartile_mean_reduces_one_axis():
    table = np.array([[0, 8], [2, 8], [4, 8], [100, 9]])
    assert interquartile_mean(table, axis=0).tolist() == [3.0, 8.0]
    assert interquartile_mean(table).tolist() == [4.0, 5.0, 6.0, 54.5]


def test_interquartile_mean_leaves_its_argument_alone():
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    interquartile_mean(scores)
    assert scores.tolist() == [3.0, 1.0, 2.0, 0.0]


def test_interquartile_mean_of_nothing():
    with pytest.raises(ValueError, match="at least one score"):
        interquartile_mean([])


@pytest.mark.parametrize(
    ("statistic", "low", "high"),
    # scipy.stats.bootstrap(..., method="percentile", n_resamples=200_000) of SciPy 1.17.
    [(np.mean, 133.333, 770.833), (interquartile_mean, 66.667, 416.667)],
)
def test_bootstrap_against_scipy(statistic, low, high):
    found = bootstrap_interval(SKEWED, statistic, resamples=50_000, generator=np.random.default_rng(742))
    assert found == pytest.approx((low, high), abs=9.0)


def test_bootstrap_of_two_scores_is_the_binomial_distribution():
    # Means of resamples of (0, 100): 0 with 1/4, 50 with 1/2, 100 with 1/4.
    generator = np.random.default_rng(1)
    assert bootstrap_interval([0, 100], np.mean, confidence=0.6, generator=generator) == (0.0, 100.0)
    assert bootstrap_interval([0, 100], np.mean, confidence=0.4, generator=generator) == (50.0, 50.0)


def test_bootstrap_is_decided_by_its_generator():
    first, again, other = (
        bootstrap_interval(SKEWED, np.mean, generator=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_bootstrap_of_many_scores_is_drawn_in_parts():
    # 30,000 x 200 scores are more than are held at once; the interval of the mean is +- 1.96 / sqrt(n).
    scores = np.random.default_rng(0).standard_normal(30_000)
    low, high = bootstrap_interval(scores, np.mean, resamples=200, generator=np.random.default_rng(1))
    centre, half = float(scores.mean()), 1.96 / math.sqrt(scores.size)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=half / 3)


def test_bootstrap_of_equal_scores_has_no_width():
    assert bootstrap_interval([250] * 7, np.median, generator=np.random.default_rng(0)) == (250.0, 250.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": []}, "at least 1"),
        ({"scores": [[1, 2]]}, "shape"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"resamples": 0}, "resamples is 0"),
        ({"statistic": lambda samples, axis: 3.0}, "returned shape"),
    ],
)
def test_bootstrap_refuses(arguments, message):
    usual = {"scores": [1, 2, 3], "statistic": np.mean, "generator": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**(usual | arguments))


def test_summary_by_hand():
    summary = summarise([0, 100, 200, 500], np.random.default_rng(742))
    assert (summary.n, summary.mean, summary.median, summary.iqm) == (4, 200.0, 150.0, 150.0)
    assert (summary.minimum, summary.best, summary.confidence) == (0.0, 500.0, 0.95)
    assert summary.std == pytest.approx(math.sqrt(35_000))  # (40,000 + 10,000 + 0 + 90,000) / 4
    assert 0 <= summary.mean_interval[0] < 200 < summary.mean_interval[1] <= 500
    assert 0 <= summary.iqm_interval[0] < 150 < summary.iqm_interval[1] <= 500
    assert summary == summarise([0, 100, 200, 500], np.random.default_rng(742))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_summary_refuses_what_is_no_number(score):
    with pytest.raises(ValueError, match="finite"):
        summarise([100, score], np.random.default_rng(0))


def test_trailing_mean_by_hand():
    scores = [10, 20, 60, 0, 40]
    assert trailing_mean(scores, 1).tolist() == [10, 20, 60, 0, 40]
    np.testing.assert_allclose(trailing_mean(scores, 3), [np.nan, np.nan, 30, 80 / 3, 100 / 3])
    np.testing.assert_allclose(trailing_mean(scores, 3, minimum=1), [10, 15, 30, 80 / 3, 100 / 3])
    assert np.isnan(trailing_mean(scores, 6)).all()
    assert trailing_mean([], 3).size == 0


def test_trailing_mean_refuses_a_window_of_nothing():
    with pytest.raises(ValueError, match="window is 0"):
        trailing_mean([1.0], 0)
