"""Tests of rl/buffers/sum_tree.py, by hand and against NumPy's cumulative sums."""

from __future__ import annotations

import numpy as np
import pytest

from rl.buffers.sum_tree import SumTree


def test_finds_by_hand() -> None:
    tree = SumTree(5)
    tree.update(np.array([0, 1, 3, 4]), np.array([1.0, 2.0, 4.0, 0.5]))
    assert tree.total == 7.5
    # Cumulative: 1, 3, 3, 7, 7.5; index 2 has nothing.
    assert tree.find(np.array([0.0, 0.99, 1.0, 2.9, 3.0, 6.9, 7.0, 7.49])).tolist() == [0, 0, 1, 1, 3, 3, 4, 4]
    tree.update(np.array([3, 3]), np.array([9.0, 0.0]))
    assert tree.values.tolist() == [1, 2, 0, 0, 0.5]
    assert tree.find(np.array([3.2])).tolist() == [4]


@pytest.mark.parametrize("size", [1, 31, 32, 33, 1024, 1025, 40_000])
def test_finds_what_cumulative_sums_find(size: int) -> None:
    random = np.random.default_rng(size)
    tree = SumTree(size)
    values = np.zeros(size)
    for _ in range(10):
        indices = np.unique(random.integers(size, size=50))
        # Whole numbers, so that both ways of summing are exact.
        values[indices] = random.integers(0, 9, size=len(indices))
        values[indices[0]] = 5
        tree.update(indices, values[indices])
        targets = random.random(200) * values.sum()
        assert tree.total == values.sum()
        assert np.array_equal(tree.find(targets), np.searchsorted(values.cumsum(), targets, side="right"))


def test_indices_without_value_are_never_found() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        tree = SumTree(3000)
        indices = random.integers(3000, size=40)
        tree.update(indices, random.random(40) * 10.0 ** random.integers(-12, 6, size=40))
        # The total itself and a little more: rounding may lead there.
        targets = tree.total * np.array([0.0, 0.5, 1 - 1e-16, 1.0, 1 + 1e-15])
        assert (tree.values[tree.find(targets)] > 0).all()


def test_samples_in_proportion_and_by_stratum() -> None:
    tree = SumTree(100)
    tree.update(np.arange(100), np.arange(100.0))
    drawn = tree.sample(49_500, np.random.default_rng(5))
    # 4,950 in all: ten draws for each unit of value, each within its own stratum, so counts are off by 2 at the most.
    assert np.abs(np.bincount(drawn, minlength=100) - 10 * np.arange(100)).max() <= 2


def test_restored_tree_is_the_same_bit_for_bit() -> None:
    random = np.random.default_rng(1)
    for size in (1, 40, 1500, 33_000):
        tree = SumTree(size)
        for batch in (1, 2, 32, 300):
            tree.update(random.integers(size, size=batch), random.random(batch))
        copy = SumTree(size)
        copy.restore(tree.values)
        for one, other in zip(tree._levels, copy._levels, strict=True):
            assert one.tobytes() == other.tobytes()
