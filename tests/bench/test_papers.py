"""The papers' own experiments, cut short: their tasks by hand, their tables and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import chain, unique_integers
from common.errors import UserError


def test_the_answers_are_the_numbers_of_different_integers() -> None:
    settings = unique_integers.Settings(length=6, values=4)
    sequences, answers = unique_integers.sequences_of(settings, 300, torch.Generator().manual_seed(1))
    assert [len(set(row)) - 1 for row in sequences.tolist()] == answers.tolist()
    assert set(answers.tolist()) == {0, 1, 2, 3} and set(sequences.flatten().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("recipe", unique_integers.RECIPES)
def test_a_training_is_the_same_again_and_learns(recipe: str) -> None:
    settings = unique_integers.Settings(length=3, values=3, hidden=12, updates=60, learning_rate=0.02)
    errors = [unique_integers.trained_error(settings, recipe, seed=5) for _ in range(2)]
    assert errors[0] == errors[1]
    assert errors[0] < 0.55  # the commonest of three answers is right in less than half of the cases


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ("anealed",)}, "unknown recipe 'anealed'.*did you mean 'annealed'"),
        ({"length": 1}, "--length and --values must be at least 2"),
        ({"seeds": 0}, "--seeds must be at least 1"),
    ],
)
def test_mistakes(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        unique_integers.check(unique_integers.Settings(**changes))  # type: ignore[arg-type]


def test_the_chain_is_measured_and_drawn(tmp_path: Path) -> None:
    settings = chain.Settings(episodes=30, window=10, seeds=2, output=tmp_path / "chain.svg")
    flat, deep, goals = chain.measure(settings)
    assert flat.shape == deep.shape == (2, 3) and goals.shape == (2, 3, 6)
    assert np.allclose(goals.sum(axis=2), 1.0) and (flat >= 0.01 - 1e-12).all() and (deep <= 1.0).all()
    assert b"<svg" in chain.draw(settings, flat, deep, goals)
