"""Hierarchical Q-learning with tables: its updates by hand, and on the chain against the exact optimum."""

from __future__ import annotations

import numpy as np
import pytest

from rl.algorithms.hierarchical_q import FlatQ, HierarchicalQ, Table, TableSettings, learn
from rl.envs.chain import FAR, START, STATES, ChainEnv, optimal_values


def test_an_update_by_hand() -> None:
    table = Table((2, 2), TableSettings(rate=0.5, gamma=0.9), np.random.default_rng(1))
    table.values[:] = [[1.0, 2.0], [3.0, 4.0]]
    table.learn((0,), 1, 1.0, (1,))
    assert table.values[0].tolist() == [1.0, 2 + 0.5 * (1 + 0.9 * 4 - 2)]
    table.learn((1,), 0, 1.0, None)
    assert table.values[1].tolist() == [2.0, 4.0]
    assert table.choose((0,), 0.0) == 1


def test_epsilon_falls_in_a_line() -> None:
    settings = TableSettings(final_epsilon=0.1, annealed=100)
    assert [settings.epsilon(steps) for steps in (0, 50, 100, 200)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_critic_and_meta_controller_by_hand() -> None:
    agent = HierarchicalQ(6, 6, 2, TableSettings(rate=0.5, alone=1.0, annealed=10**9), seed=1)
    agent.goal, agent.begun_in, agent.gained = 3, 1, 0.0
    agent.state, agent.action = 1, 1
    agent.observe(0.0, 2, False)  # on the way
    assert not agent.controller.values.any()
    agent.state, agent.action = 2, 1
    agent.observe(0.25, 3, False)  # there, with a reward of the game's own on the last step
    assert agent.controller.values[3, 2, 1] == 0.5 and agent.meta.values[1, 3] == 0.5 * 0.25
    assert vars(agent)["goal"] is None and agent.reached[3] == 1
    agent.goal, agent.begun_in, agent.gained, agent.state, agent.action = 5, 3, 0.0, 1, 0
    agent.observe(1.0, 0, True)  # the episode's end is the goal's, unreached
    assert not agent.controller.values[5].any() and agent.meta.values[3, 5] == 0.5 * 1.0
    assert agent.reached[5] == 0


def test_the_hierarchy_comes_near_the_optimum_of_the_chain_and_flat_learning_does_not() -> None:
    best = optimal_values(1.0)[0, START]
    settings = TableSettings(annealed=12_000)
    agent = HierarchicalQ(STATES, STATES, 2, settings, seed=2)
    learn(agent, ChainEnv(), 5_000, seed=2)
    returns = learn(agent, ChainEnv(), 3_000, seed=3)
    flat = FlatQ(STATES, 2, settings, seed=2)
    learn(flat, ChainEnv(), 5_000, seed=2)
    # With epsilon 0.1 in both parts some of it is lost; nobody gets more than the best but by luck (0.007 a window).
    assert 0.6 * best < returns.mean() < best + 4 * 0.4 / 3_000**0.5
    assert learn(flat, ChainEnv(), 3_000, seed=3).mean() < 0.3 * best
    assert agent.meta.values[START].argmax() == FAR
