"""Hierarchical Q-learning with tables: a meta-controller that chooses goals, and a controller that goes to them.

    agent = HierarchicalQ(states=6, goals=6, actions=2, settings=TableSettings(), seed=1)
    chain_rewards = learn(agent, ChainEnv(), episodes=12_000)

The critic rewards the controller with 1 where the goal is reached, and with 0 elsewhere. A goal lasts until it is
reached or the episode ends; the meta-controller learns from the sum of the game's own rewards meanwhile. It is
``rl.algorithms.hdqn`` without networks and replay buffers, for problems so small that both fit into tables.

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057), algorithm 1 and section 4.1; C. Watkins and P. Dayan 1992 for
Q-learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TableSettings:
    """How the tables learn.

    :param rate: share of the error by which an entry moves, above 0 and at most 1
    :param gamma: discount, 0 to 1; a goal of the meta-controller is one step
    :param final_epsilon: probability of a random choice at the end of the annealing, which begins at 1
    :param annealed: steps of the annealing, at least 1
    :param alone: share of the annealing in which goals are random and the controller learns alone, 0 to 1
    """

    rate: float = 0.02
    gamma: float = 0.99
    final_epsilon: float = 0.1
    annealed: int = 15_000
    alone: float = 0.2

    def epsilon(self, steps: float) -> float:
        """The probability of a random choice after so many steps."""
        return max(self.final_epsilon, 1 - (1 - self.final_epsilon) * steps / self.annealed)


class Table:
    """Values of choices, learnt by Q-learning."""

    def __init__(self, shape: tuple[int, ...], settings: TableSettings, generator: np.random.Generator) -> None:
        self.values = np.zeros(shape)
        self.settings = settings
        self.generator = generator

    def choose(self, place: tuple[int, ...], epsilon: float) -> int:
        """The best choice, ties broken at random; with probability epsilon any."""
        row = self.values[place]
        best = np.arange(len(row)) if self.generator.random() < epsilon else np.flatnonzero(row == row.max())
        return int(self.generator.choice(best))

    def learn(self, place: tuple[int, ...], choice: int, reward: float, following: tuple[int, ...] | None) -> None:
        """Move an entry to the reward and the discounted best value of what follows; None where nothing follows."""
        future = 0.0 if following is None else self.settings.gamma * self.values[following].max()
        self.values[(*place, choice)] += self.settings.rate * (reward + future - self.values[(*place, choice)])


class Agent(Protocol):
    """Learns while it acts."""

    def act(self, state: int) -> int:
        """The action in a state."""

    def observe(self, reward: float, state: int, over: bool) -> None:
        """What came of it."""


class FlatQ:
    """Q-learning without goals, the baseline."""

    def __init__(self, states: int, actions: int, settings: TableSettings, seed: int) -> None:
        self.table = Table((states, actions), settings, np.random.default_rng(seed))
        self.steps = 0

    def act(self, state: int) -> int:
        """Epsilon-greedy."""
        self.state, self.action = state, self.table.choose((state,), self.table.settings.epsilon(self.steps))
        return self.action

    def observe(self, reward: float, state: int, over: bool) -> None:
        """Learn from the step."""
        self.table.learn((self.state,), self.action, reward, None if over else (state,))
        self.steps += 1


class HierarchicalQ:
    """Meta-controller, controller and critic; goals are states.

    ``chosen`` counts how often each goal was chosen, ``reached`` how often it was then reached, int64 (goals,).
    """

    def __init__(self, states: int, goals: int, actions: int, settings: TableSettings, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.settings = settings
        self.meta = Table((states, goals), settings, generator)
        self.controller = Table((goals, states, actions), settings, generator)
        self.chosen, self.reached = np.zeros(goals, np.int64), np.zeros(goals, np.int64)
        self.steps = 0
        self.goal: int | None = None

    def act(self, state: int) -> int:
        """The controller's action for the goal; the meta-controller chooses one where there is none."""
        if self.goal is None:
            # First the controller learns alone, then the meta-controller's epsilon falls as the controller's did.
            joint = self.steps - self.settings.alone * self.settings.annealed
            self.goal = self.meta.choose((state,), self.settings.epsilon(max(joint, 0)))
            self.chosen[self.goal] += 1
            self.begun_in, self.gained = state, 0.0
        self.state = state
        self.action = self.controller.choose((self.goal, state), self.settings.epsilon(self.steps))
        return self.action

    def observe(self, reward: float, state: int, over: bool) -> None:
        """Both learn: the controller from the critic's reward, the meta-controller where the goal has ended."""
        assert self.goal is not None
        reached = state == self.goal
        ended = reached or over
        following = None if ended else (self.goal, state)
        self.controller.learn((self.goal, self.state), self.action, float(reached), following)
        self.gained += reward
        self.steps += 1
        if ended:
            self.reached[self.goal] += reached
            self.meta.learn((self.begun_in,), self.goal, self.gained, None if over else (state,))
            self.goal = None


def learn(agent: Agent, env: gymnasium.Env[Any, Any], episodes: int, seed: int | None = None) -> NDArray[np.float64]:
    """Let an agent learn in an environment whose observations are one-hot.

    :return: the return of each episode, float64 (episodes,)
    """
    returns = np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        over = False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(agent.act(int(np.argmax(observation))))
            over = terminated or truncated
            agent.observe(float(reward), int(np.argmax(observation)), over)
            returns[episode] += float(reward)
    return returns
