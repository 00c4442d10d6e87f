"""What is held out, what the classifier learns, and which images are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.labelling.ranking import Accuracy, Ranking, choose, held_out, learn

# Two features; the first is 1 for yes and -1 for no.
X = np.array([[1, 0], [1, 1], [-1, 0], [-1, 1], [1, 0.5], [-1, 0.5], [1, 0.2]], np.float32)


def test_one_in_five_is_held_out_by_its_name_alone() -> None:
    names = [str(number) for number in range(5_000)]
    held = held_out(names)
    assert 900 < held.sum() < 1_100
    np.testing.assert_array_equal(held_out(reversed(names)), held[::-1])
    assert held_out(["0", "1", "2", "3", "4", "5", "6", "7"]).tolist() == held[:8].tolist()


def test_the_classifier_learns_what_is_not_held_out() -> None:
    labels = np.array([1, 1, 0, 0, -1, -1, 0], np.int8)  # the last one is wrong, and held out
    held = np.array([False] * 6 + [True])
    ranking = learn(X, labels, held)
    assert ranking is not None and ranking.learned == 4
    assert (ranking.probability[[0, 1, 4, 6]] > 0.85).all() and (ranking.probability[[2, 3, 5]] < 0.15).all()
    assert ranking.accuracy(labels, held) == Accuracy(yes=(0, 0), no=(1, 0))
    assert ranking.accuracy(labels, ~held) == Accuracy(yes=(2, 2), no=(2, 2))


def test_the_minimum_is_that_of_the_regularised_likelihood() -> None:
    """At the minimum the gradient is 0: weights = strength * sum of (y - p) x."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2)).astype(np.float32)
    labels = (x[:, 0] + rng.standard_normal(60) > 0).astype(np.int8)
    ranking = learn(x, labels, np.zeros(60, np.bool_))
    assert ranking is not None
    errors = labels - ranking.probability
    weights = 10 / 2 * x.T @ errors
    logits = np.log(ranking.probability / (1 - ranking.probability))
    slopes = np.linalg.lstsq(np.column_stack([x, np.ones(60)]), logits, rcond=None)[0]
    np.testing.assert_allclose(slopes[:2], weights, atol=1e-2)
    assert errors.sum() == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("labels", [[-1] * 7, [1, 1, -1, -1, -1, -1, -1], [1, 1, -1, -1, -1, -1, 0]])
def test_nothing_is_learned_from_one_answer_alone(labels: list[int]) -> None:
    held = np.array([False] * 6 + [True])
    assert learn(X, np.array(labels, np.int8), held) is None


def test_a_screen_has_the_most_probable_the_most_uncertain_and_some_at_random() -> None:
    probability = np.linspace(0, 1, 101)
    candidates = np.arange(0, 91)  # 0.91 and above are labelled
    chosen = choose(Ranking(probability, 9), candidates, 24, np.random.default_rng(0))
    assert chosen[:12].tolist() == list(range(90, 78, -1))
    assert sorted(chosen[12:20].tolist()) == list(range(46, 54))
    assert len(set(chosen.tolist())) == 24 and set(chosen[20:].tolist()) <= set(range(79)) - set(range(46, 54))
    others = choose(Ranking(probability, 9), candidates, 24, np.random.default_rng(1))
    assert chosen[:20].tolist() == others[:20].tolist() and chosen[20:].tolist() != others[20:].tolist()


def test_without_a_ranking_all_are_at_random_and_a_few_left_are_all_shown() -> None:
    candidates = np.arange(100, 150)
    chosen = choose(None, candidates, 24, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 24 and set(chosen.tolist()) <= set(candidates.tolist())
    assert chosen.tolist() != sorted(chosen.tolist())
    few = choose(Ranking(np.linspace(0, 1, 200), 9), np.array([3, 150, 101]), 24, np.random.default_rng(0))
    assert sorted(few.tolist()) == [3, 101, 150]
    assert choose(None, np.empty(0, np.int64), 24, np.random.default_rng(0)).tolist() == []
