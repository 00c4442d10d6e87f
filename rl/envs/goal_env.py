"""Environments that tell the learner which goal to go to, and reward it for being there.

Each observation has what the controller sees of the goal behind it. The learner's reward is the critic's: 1 where the
goal is reached, otherwise 0. Its episode ends with the goal: where it is reached, where the environment's own episode
ends (a lost life), or after so many steps, as a truncation. The game goes on with another goal. What the game's own
rewards were meanwhile is kept for the meta-controller.

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057), algorithm 1; Stable-Baselines3's ``VecEnvWrapper``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from rl.envs.atari_env import AtariVecEnv
from rl.envs.goals import Critic

Observations = NDArray[np.uint8]
Choose = Callable[[Observations, NDArray[np.bool_]], NDArray[np.int64]]


@dataclass(frozen=True)
class GoalEnd:
    """A goal that has ended: a transition of the meta-controller.

    :param observation: where it was chosen, without a goal, (...)
    :param goal: which
    :param gained: the game's own rewards, as the learner's protocol shows them, while it lasted
    :param next_observation: at its end, before any reset
    :param done: whether the environment's own episode ended
    :param truncated: whether it did because the game was cut
    :param reached: whether the goal was
    """

    observation: Observations
    goal: int
    gained: float
    next_observation: Observations
    done: bool
    truncated: bool
    reached: bool


class GoalVecEnv(VecEnvWrapper):
    """N environments with goals.

    Infos hold ``goal``, under which the step was done, and where a whole game ended ``goals``: for each goal whether
    the agent was there (``visited``), how often it was ``chosen``, and then ``reached``.

    :param venv: whose ``ram`` the critic reads
    :param critic: the goals of its game
    :param obs: ``pixels`` or ``ram``
    """

    venv: AtariVecEnv

    def __init__(self, venv: AtariVecEnv, critic: Critic, obs: str) -> None:
        space = venv.observation_space
        assert isinstance(space, spaces.Box)
        self.critic = critic
        self.goal_inputs = critic.inputs(obs, space.shape[-1])
        shape = (space.shape[0] + self.goal_inputs.shape[1], *space.shape[1:])
        super().__init__(venv, spaces.Box(0, 255, shape, np.uint8))
        self.inner_space = space
        self.patience = 10**9
        """Steps after which a goal is given up."""
        self.choose: Choose = self._first_allowed
        """The meta-controller: from observations (n, ...) and which goals are allowed (n, G) to goals (n,)."""
        count = (venv.num_envs, len(critic))
        self.goal = np.zeros(venv.num_envs, np.int64)
        self._age = np.zeros(venv.num_envs, np.int64)
        self._gained = np.zeros(venv.num_envs, np.float64)
        self._began = np.zeros((venv.num_envs, *space.shape), np.uint8)
        # Of the game under way.
        self._visited, self._chosen, self._reached = (np.zeros(count, np.int64) for _ in range(3))
        self._ended: list[GoalEnd] = []

    @staticmethod
    def _first_allowed(observations: Observations, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray(allowed.argmax(axis=1), np.int64)

    def reset(self) -> Observations:
        """Begin new games with new goals."""
        observations = np.asarray(self.venv.reset())
        for counts in (self._visited, self._chosen, self._reached):
            counts[:] = 0
        everyone = np.arange(self.num_envs)
        self._begin(everyone, observations, np.zeros((self.num_envs, len(self.critic)), np.bool_))
        return self._with_goals(observations)

    def step_wait(self) -> VecEnvStepReturn:
        """The learner's observations, rewards, ends and infos."""
        observations, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(observations, np.ndarray)
        there = self.critic.reached(self.venv.ram)
        reached = there[np.arange(self.num_envs), self.goal]
        self._age += 1
        self._gained += rewards
        self._visited |= there
        given_up = (self._age >= self.patience) & ~reached & ~dones
        ends = reached | dones | given_up
        for info, goal in zip(infos, self.goal.tolist(), strict=True):
            info["goal"] = goal
        for index in np.flatnonzero(ends):
            self._end(int(index), observations, bool(dones[index]), bool(reached[index]), infos[index])
            if "episode" in infos[index]:
                self._report(int(index), infos[index])
        # A goal at which the agent is already is none; after a reset it is somewhere else.
        there[dones] = False
        self._begin(np.flatnonzero(ends), observations, there)
        return self._with_goals(observations), reached.astype(np.float32), ends, infos

    def _end(self, index: int, observations: Observations, done: bool, reached: bool, info: dict[str, Any]) -> None:
        goal = int(self.goal[index])
        last = info["terminal_observation"] if done else observations[index]
        cut = bool(info.get("TimeLimit.truncated", False))
        self._ended.append(
            GoalEnd(self._began[index].copy(), goal, float(self._gained[index]), last.copy(), done, cut, reached)
        )
        self._reached[index, goal] += reached
        info["terminal_observation"] = np.concatenate([last, self.goal_inputs[goal]])
        info["TimeLimit.truncated"] = not reached and (cut or not done)

    def _report(self, index: int, info: dict[str, Any]) -> None:
        rows = {"visited": self._visited, "chosen": self._chosen, "reached": self._reached}
        info["goals"] = {name: counts[index].tolist() for name, counts in rows.items()}
        for counts in rows.values():
            counts[index] = 0

    def _begin(self, indices: NDArray[np.int64], observations: Observations, there: NDArray[np.bool_]) -> None:
        if not indices.size:
            return
        self.goal[indices] = self.choose(observations[indices], ~there[indices])
        self._chosen[indices, self.goal[indices]] += 1
        self._age[indices] = 0
        self._gained[indices] = 0.0
        self._began[indices] = observations[indices]

    def _with_goals(self, observations: Observations) -> Observations:
        return np.concatenate([observations, self.goal_inputs[self.goal]], axis=1)

    def take_ended(self) -> list[GoalEnd]:
        """The goals that have ended since the last call, in the order of their ends, then of the environments."""
        ended, self._ended = self._ended, []
        return ended

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The goals under way and the counts of the games under way, for a checkpoint."""
        return {
            "goal": self.goal, "age": self._age, "gained": self._gained, "began": self._began,
            "visited": self._visited, "chosen": self._chosen, "reached": self._reached,
        }  # fmt: skip

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from where ``arrays`` was called.

        :raises KeyError, ValueError: when arrays are missing or of other environments
        """
        for name, own in self.arrays().items():
            own[...] = arrays[name]
