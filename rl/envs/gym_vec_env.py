"""Several gymnasium environments at once, recorded so that their episodes replay exactly and a training can resume.

Every episode has a new environment. Some environments remember the episodes before: the order in which Box2D treats
contacts depends on all bodies that its world has ever held, so that the same seed and actions give other last digits
in a world that was used before, and soon another episode. Making BipedalWalker takes 1.5 ms, about two of its steps.

Credits: gymnasium (Towers et al. 2024, arXiv 2407.17032) for the environments and the meaning of a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl.envs.episode_vec_env import EpisodeVecEnv, ResetResult, StepResult


class GymVecEnv(EpisodeVecEnv):
    """N environments that are stepped one after another in this process.

    :param make: makes an environment whose observations are an array, without rendering
    :param num_envs: number of environments N
    :param reward: makes the learner's rewards of the raw ones
    :param seed: the run's seed
    """

    def __init__(
        self,
        make: Callable[[], gym.Env[Any, Any]],
        num_envs: int,
        reward: Callable[[NDArray[np.float64]], NDArray[np.float32]],
        seed: int,
    ) -> None:
        self._make = make
        self._envs = [make() for _ in range(num_envs)]
        observation_space, action_space = self._envs[0].observation_space, self._envs[0].action_space
        super().__init__(num_envs, observation_space, action_space, reward, life_loss_terminal=False, seed=seed)
        self._observations = np.zeros((num_envs, *(observation_space.shape or ())), observation_space.dtype)
        self._rewards = np.zeros(num_envs)
        self._terminated = np.zeros(num_envs, np.bool_)
        self._truncated = np.zeros(num_envs, np.bool_)

    def _begin(self, index: int, seed: int) -> None:
        self._envs[index].close()
        self._envs[index] = self._make()
        self._observations[index], _ = self._envs[index].reset(seed=seed)

    def _step(self, index: int, action: NDArray[Any]) -> None:
        observation, reward, terminated, truncated, _ = self._envs[index].step(action)
        self._observations[index] = observation
        self._rewards[index], self._terminated[index], self._truncated[index] = float(reward), terminated, truncated

    def _reset_envs(self, indices: NDArray[np.int64], seeds: list[int]) -> ResetResult:
        for index, seed in zip(indices.tolist(), seeds, strict=True):
            self._begin(index, seed)
        return self._result(len(seeds))

    def _replay_envs(self, seeds: list[int], actions: Sequence[Sequence[Any]]) -> ResetResult:
        for index, (seed, episode) in enumerate(zip(seeds, actions, strict=True)):
            self._begin(index, seed)
            for action in np.array(episode, self._sent.dtype):
                self._step(index, action)
        return self._result(self.num_envs)

    def _result(self, count: int) -> ResetResult:
        return ResetResult(self._observations.copy(), np.zeros(self.num_envs, np.int32), [()] * count)

    def _send(self, parts: Sequence[slice], actions: NDArray[Any]) -> None:
        for part in parts:
            for index in range(part.start, part.stop):
                self._step(index, actions[index].copy())

    def _receive(self, envs: slice) -> StepResult:
        return StepResult(
            self._observations[envs].copy(),
            self._rewards[envs].copy(),
            self._terminated[envs].copy(),
            self._truncated[envs].copy(),
            np.zeros(envs.stop - envs.start, np.int32),
        )

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()
