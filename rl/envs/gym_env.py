"""Wrappers for any gymnasium environment: a seed for each episode, so that it can be traced and replayed; and ends of
the learner's episodes at lost lives.

Credits: gymnasium (Towers et al. 2024, arXiv 2407.17032) for the wrapper interface; Stable-Baselines3's
``EpisodicLifeEnv`` for the idea of the second.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from common.traces import Trace
from rl.envs.atari_game import episode_seed
from rl.envs.episode_vec_env import trace_dtype


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Begins every episode with a seed of its own and puts its trace into ``info["trace"]`` at its end.

    Put it directly around ``gymnasium.make``, inside ``Monitor`` and all other wrappers: a replay needs the actions
    that reach the environment itself.

    :param env: an environment with discrete or box actions
    :param seed: the run's seed
    :param index: the environment's index among those of the run
    :raises UserError: for an action space that is neither discrete nor a box
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int, index: int = 0) -> None:
        super().__init__(env)
        self._dtype = trace_dtype(env.action_space)
        self.run_seed = seed
        self.index = index
        self._episode = 0
        self._seed = 0
        self._actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with the given seed, or with the next of the run's."""
        self._seed = episode_seed(self.run_seed, self.index, self._episode) if seed is None else seed
        self._episode += 1
        self._actions = []
        result = self.env.reset(seed=self._seed, options=options)
        # Wrappers such as NoopResetEnv draw from the environment's own generator, and a replay has no such wrappers.
        # They get another generator; the environment's is in place during its own steps alone.
        self._env_random = self.env.unwrapped.np_random
        self._wrapper_random = np.random.default_rng([self._seed, 1])
        self.env.unwrapped.np_random = self._wrapper_random
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Do one action; at the end of the episode the info holds its trace."""
        self._actions.append(np.array(action, self._dtype))
        self.env.unwrapped.np_random = self._env_random
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.env.unwrapped.np_random = self._wrapper_random
        if terminated or truncated:
            actions = np.stack(self._actions)
            info["trace"] = Trace(seed=self._seed, start=np.zeros(0, np.uint8), actions=actions)
        return observation, reward, terminated, truncated, info


class LifeLossTerminal(gym.Wrapper[Any, Any, Any, Any]):
    """Ends the learner's episode at each lost life of an Atari game, which goes on after the reset.

    Stable-Baselines3's ``EpisodicLifeEnv`` does a no-op there instead; a game that ends with it is never reported.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._lives = 0
        self._game_over = True
        self._last: tuple[Any, dict[str, Any]] = (None, {})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game if the last one is over, else continue it."""
        if self._game_over:
            self._last = self.env.reset(seed=seed, options=options)
            self._lives = self.env.unwrapped.ale.lives()  # type: ignore[attr-defined]
            self._game_over = False
        return self._last

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Do one action; ``terminated`` where a life was lost."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._game_over = terminated or truncated
        lives = self.env.unwrapped.ale.lives()  # type: ignore[attr-defined]
        lost = lives < self._lives
        self._lives = lives
        self._last = observation, info
        return observation, reward, terminated or lost, truncated, info
