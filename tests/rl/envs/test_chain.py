"""The chain of six states: its rules, and its optimum by dynamic programming and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rl.envs.chain import LEFT, RIGHT, START, ChainEnv, optimal_values


def test_left_goes_left_and_ends_poorly() -> None:
    env = ChainEnv()
    observation, _ = env.reset(seed=1)
    assert observation.tolist() == [0, 1, 0, 0, 0, 0]
    observation, reward, terminated, truncated, _ = env.step(LEFT)
    assert (observation.tolist(), reward, terminated, truncated) == ([1, 0, 0, 0, 0, 0], 0.01, True, False)


def test_state_6_makes_the_end_rich_and_right_leads_left_there() -> None:
    env = ChainEnv()
    env.reset(seed=1)
    env.position = 4
    while env.position != 5:
        env.position = 4
        env.step(RIGHT)
    assert env.visited
    assert env.step(RIGHT)[0].tolist() == [0, 0, 0, 0, 1, 0]
    rewards = [env.step(LEFT)[1] for _ in range(4)]
    assert rewards == [0, 0, 0, 1.0]


def test_right_succeeds_half_of_the_time() -> None:
    env = ChainEnv()
    env.reset(seed=3)
    count = 4_000
    rights = 0
    for _ in range(count):
        env.position = 3
        env.step(RIGHT)
        rights += env.position == 4
    assert rights / count == pytest.approx(0.5, abs=4 * 0.5 / count**0.5)


def test_the_optimum() -> None:
    # Without a discount: always right is a fair walk from the second of six states, so it comes to state 6 before
    # state 1 with probability 1/5, and then gets 1 instead of 1/100.
    values = optimal_values(1.0)
    assert values[0, START] == pytest.approx(0.2 * 1 + 0.8 * 0.01, abs=1e-9)
    assert values[0, 1:5] == pytest.approx([0.01 + 0.99 * k / 5 for k in range(1, 5)], abs=1e-9)
    assert values[1, 1:] == pytest.approx(np.ones(5))
    # With one, after state 6: 1 after as many steps as there are states to the left.
    assert optimal_values(0.9)[1, 1:] == pytest.approx(0.9 ** np.arange(5))
    # A discount so strong that the far end is not worth the way: left at once.
    assert optimal_values(0.1)[0, START] == pytest.approx(0.01)
