"""The Frechet distance by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.judging.frechet import frechet_distance


def test_one_feature_by_hand() -> None:
    """Means 1 and 4, standard deviations sqrt(2) and 3 sqrt(2): 3^2 + (3 sqrt(2) - sqrt(2))^2 = 17."""
    first, second = np.array([[0.0], [2.0]]), np.array([[1.0], [7.0]])
    assert frechet_distance(first, second) == pytest.approx(17)


def test_independent_features_add_up_whatever_their_axes() -> None:
    """Variances 2 and 8 against 18 and 2, equal means: (3 sqrt(2) - sqrt(2))^2 + (sqrt(2) - 2 sqrt(2))^2 = 8 + 2."""
    first = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 6.0], [0.0, -6.0]]) / np.sqrt(3)
    second = np.array([[9.0, 0.0], [-9.0, 0.0], [0.0, 3.0], [0.0, -3.0]]) / np.sqrt(3)
    assert frechet_distance(first, second) == pytest.approx(10)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(10)


def test_the_same_images_are_at_0() -> None:
    features = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-6)


def test_fewer_images_than_features_against_the_matrix_root() -> None:
    """C_1 C_2 is not symmetric; the sum of its eigenvalues' roots is the trace of its root."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(6, 9)), rng.normal(1, 2, size=(7, 9))
    c_1, c_2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(c_1 @ c_2).astype(complex)).real.sum()
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(c_1 + c_2) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)
