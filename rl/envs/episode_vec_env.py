"""The part that all our vector environments share: what an episode is, and what the callbacks are told about it.

A game begins with a seed of its own and is recorded (seed and actions), so that it can be played again. A lost life may
end the learner's episode, but never the game. When the whole game is over the info of that environment holds

* ``episode``: ``{"r": raw score, "l": length in agent steps, "t": seconds}``, as Stable-Baselines3's ``Monitor`` gives;
* ``trace``: the game's ``common.traces.Trace``.

The games can be stepped in parts, so that some play while the learner looks at the others.

At every end that the learner sees there is ``terminal_observation`` and ``TimeLimit.truncated``.

Credits: Stable-Baselines3 (Raffin et al. 2021) for the ``VecEnv`` interface, ``Monitor`` and ``EpisodicLifeEnv``,
whose meaning is kept.
"""

from __future__ import annotations

import base64
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from common.errors import UserError
from common.traces import Trace
from rl.envs.atari_game import episode_seed

Observations = NDArray[np.uint8]


@dataclass(frozen=True)
class StepResult:
    """What n games did in one step: observations (n, ...) before any restart, raw rewards float64 (n,) in points,
    flags bool (n,), lives left int32 (n,)."""

    observations: Observations
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    lives: NDArray[np.int32]


@dataclass(frozen=True)
class RestartResult:
    """What N games show after a restart of some: observations (N, ...), lives int32 (N,), right for those that no step
    is under way of, and for each restarted game the start actions that were done for one frame each."""

    observations: Observations
    lives: NDArray[np.int32]
    starts: Sequence[Sequence[int]]


class EpisodeVecEnv(VecEnv, ABC):
    """N games at once. A subclass brings the emulators; this class keeps the episodes.

    ``parts`` are slices of the games that can be stepped each for itself, together all of them.

    :param num_envs: number of games N
    :param observation_space: space of one observation
    :param action_space: discrete action space
    :param reward: from raw rewards to the learner's
    :param life_loss_terminal: whether a lost life ends the learner's episode
    :param seed: the run's seed; each episode's seed is made from it (``rl.envs.atari_game.episode_seed``)
    :param parts: into how many parts the games fall
    """

    def __init__(
        self,
        num_envs: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        reward: Callable[[NDArray[np.float64]], NDArray[np.float32]],
        life_loss_terminal: bool,
        seed: int,
        parts: int = 1,
    ) -> None:
        super().__init__(num_envs, observation_space, action_space)
        self.parts = [slice(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(num_envs), parts)]
        self.run_seed = seed
        self._new_run_seed: int | None = None  # from the next reset on
        self._reward = reward
        self._life_loss_terminal = life_loss_terminal
        self._began = time.time()
        self._episode_counts = np.zeros(num_envs, np.int64)  # games begun so far in each environment
        self._scores = np.zeros(num_envs)
        self._lives = np.zeros(num_envs, np.int32)
        self._game_seeds = [0] * num_envs
        self._starts: list[Sequence[int]] = [()] * num_envs
        self._actions: list[list[int]] = [[] for _ in range(num_envs)]
        self._sent: NDArray[np.int64] = np.zeros(num_envs, np.int64)

    @abstractmethod
    def _restart(self, indices: NDArray[np.int64], seeds: list[int]) -> RestartResult:
        """Begin the game of ``seeds[k]`` in environment ``indices[k]``, for every k."""

    @abstractmethod
    def _replay(self, seeds: list[int], actions: Sequence[Sequence[int]]) -> RestartResult:
        """Begin the game of ``seeds[i]`` in every environment i and play its actions again."""

    @abstractmethod
    def _send(self, parts: Sequence[slice], actions: NDArray[np.int64]) -> None:
        """Hand the actions (N,), those of the games in some parts, to the emulators without waiting."""

    @abstractmethod
    def _receive(self, games: slice) -> StepResult:
        """Wait for the emulators of the games that were sent together."""

    def _next_seed(self, index: int) -> int:
        """The seed of the game that begins next in an environment."""
        return episode_seed(self.run_seed, index, int(self._episode_counts[index]))

    def reset(self) -> Observations:
        """Begin a new game everywhere; unfinished ones are dropped.

        :return: observations (N, ...)
        """
        if self._new_run_seed is not None:
            self.run_seed = self._new_run_seed
            self._new_run_seed = None
            self._episode_counts[:] = 0
        return self._begin(np.arange(self.num_envs))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand the actions (N,) to the emulators."""
        self._sent[:] = actions
        self._send(self.parts, self._sent)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step.

        :return: observations (N, ...), learner's rewards float32 (N,), dones bool (N,), infos
        """
        return self._finish(slice(0, self.num_envs))

    def send(self, part: slice, actions: NDArray[Any]) -> None:
        """Hand the actions (n,) of one of ``parts`` to the emulators. Several parts may be under way."""
        self._sent[part] = actions
        self._send([part], self._sent)

    def receive(self, part: slice) -> VecEnvStepReturn:
        """Wait for the step of a part, in the order in which they were sent; as ``step_wait``, for its n games."""
        return self._finish(part)

    def _finish(self, games: slice) -> VecEnvStepReturn:
        step = self._receive(games)
        for recorded, action in zip(self._actions[games], self._sent[games].tolist(), strict=True):
            recorded.append(action)
        self._scores[games] += step.rewards
        over = step.terminated | step.truncated
        dones = over | (step.lives < self._lives[games]) if self._life_loss_terminal else over
        self._lives[games] = step.lives
        infos: list[dict[str, Any]] = [{} for _ in dones]
        for index in np.flatnonzero(dones):
            infos[index]["terminal_observation"] = step.observations[index].copy()
            infos[index]["TimeLimit.truncated"] = bool(step.truncated[index] and not step.terminated[index])
        observations = step.observations
        finished = np.flatnonzero(over) + games.start
        if finished.size:
            for index in finished:
                infos[index - games.start]["episode"] = {
                    "r": float(self._scores[index]),
                    "l": len(self._actions[index]),
                    "t": round(time.time() - self._began, 6),
                }
                infos[index - games.start]["trace"] = self._trace(int(index))
            observations = self._begin(finished)[games]
        return observations, self._reward(step.rewards), dones, infos

    def _begin(self, indices: NDArray[np.int64]) -> Observations:
        seeds = [self._next_seed(int(index)) for index in indices]
        self._episode_counts[indices] += 1
        result = self._restart(indices, seeds)
        self._scores[indices] = 0.0
        self._lives[indices] = result.lives[indices]
        for index, seed, start in zip(indices, seeds, result.starts, strict=True):
            self._game_seeds[index] = seed
            self._starts[index] = start
            self._actions[index] = []
        return result.observations

    def state(self) -> dict[str, Any]:
        """What the environment's future depends on, as JSON can hold it: the seeds and actions of unfinished games."""
        return {
            "run_seed": self.run_seed,
            "seeds": list(self._game_seeds),
            "episode_counts": self._episode_counts.tolist(),
            "scores": self._scores.tolist(),
            "actions": [base64.b85encode(zlib.compress(bytes(actions))).decode() for actions in self._actions],
        }

    def load_state(self, state: dict[str, Any]) -> Observations:
        """Go on where an environment with the same settings was when ``state`` was taken, by playing again.

        :return: the observations (N, ...) that were last seen there
        :raises UserError: when the state is of another number of games
        """
        actions = [list(zlib.decompress(base64.b85decode(text))) for text in state["actions"]]
        if len(actions) != self.num_envs:
            raise UserError(f"the checkpoint has {len(actions)} games, the settings have {self.num_envs}", status=1)
        self.run_seed = int(state["run_seed"])
        self._episode_counts[:] = state["episode_counts"]
        self._game_seeds = list(state["seeds"])
        result = self._replay(self._game_seeds, actions)
        self._scores[:] = state["scores"]
        self._lives = result.lives.copy()
        self._starts = list(result.starts)
        self._actions = actions
        return result.observations

    def _trace(self, index: int) -> Trace:
        return Trace(
            seed=self._game_seeds[index],
            start=np.array(self._starts[index], np.uint8),
            actions=np.array(self._actions[index], np.uint8),
        )

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Take another run seed from the next reset on, as Stable-Baselines3's models do when they get a seed."""
        if seed is not None and seed != self.run_seed:
            self._new_run_seed = seed
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this object, once for each environment; there are no environment objects."""
        value = None if attr_name == "render_mode" else getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not offered: the games have no Python objects to set attributes on.

        :raises AttributeError: always
        """
        raise AttributeError(f"{type(self).__name__} has no attributes to set for single environments: '{attr_name}'")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Not offered, see ``set_attr``.

        :raises AttributeError: always
        """
        raise AttributeError(f"{type(self).__name__} has no methods for single environments: '{method_name}'")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for ``Monitor`` alone, because the infos say what ``Monitor`` would."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]
