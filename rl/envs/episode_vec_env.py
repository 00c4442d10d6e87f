"""The base of this project's vector environments: episodes with seeds of their own, recorded so that they can be
replayed.

An episode is a whole game, recorded as its seed and actions. A lost life may end the learner's episode, but never the
game. Where an episode ends the environment's info holds

* ``episode``: ``{"r": raw return, "l": length in agent steps, "t": seconds}``, as in Stable-Baselines3's ``Monitor``;
* ``trace``: the episode's ``common.traces.Trace``;

and wherever ``done`` is set, at a lost life as well, ``terminal_observation`` and ``TimeLimit.truncated``.

The environments can be stepped in parts, so that some step while the learner looks at the others.

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
from rl.envs.shaping import Potential

Observations = NDArray[Any]


def trace_dtype(action_space: spaces.Space[Any]) -> np.dtype[Any]:
    """The type in which a trace keeps the actions of a space.

    :raises UserError: for a space that is neither discrete nor a box
    """
    if isinstance(action_space, spaces.Discrete):
        small = action_space.start == 0 and action_space.n <= 256
        return np.dtype(np.uint8 if small else np.int64)
    if isinstance(action_space, spaces.Box) and action_space.dtype is not None:
        return action_space.dtype
    raise UserError(f"actions of {action_space} cannot be traced; discrete and box actions can")


@dataclass(frozen=True)
class StepResult:
    """One step of n environments.

    :param observations: before any reset, (n, ...)
    :param rewards: raw, in points, float64 (n,)
    :param terminated: whether the game ended, bool (n,)
    :param truncated: whether it was cut, bool (n,)
    :param lives: lives left, int32 (n,)
    """

    observations: Observations
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    lives: NDArray[np.int32]


@dataclass(frozen=True)
class ResetResult:
    """The state of all N environments after some of them were reset.

    An environment whose step is under way has no meaningful observation and lives here.

    :param observations: (N, ...)
    :param lives: lives left, int32 (N,)
    :param starts: of each environment that was reset, the start actions, done for one frame each
    """

    observations: Observations
    lives: NDArray[np.int32]
    starts: Sequence[Sequence[int]]


class EpisodeVecEnv(VecEnv, ABC):
    """N environments at once. A subclass runs the emulators; this class keeps account of the episodes.

    ``parts`` are slices of the environments, together all of them, each of which can be stepped by itself.

    :param num_envs: number of environments N
    :param observation_space: space of one observation
    :param action_space: discrete actions, or a box
    :param reward: makes the learner's rewards of the raw ones
    :param life_loss_terminal: whether a lost life ends the learner's episode
    :param seed: the run's seed; each episode's seed is made from it (``rl.envs.atari_game.episode_seed``)
    :param parts: number of parts
    :param starts_envs: the episodes of the first so many environments are not whole games; they leave no ``episode``
        and no ``trace`` in the infos
    :param potential: whose change is added to the learner's reward, for RAM as observation
    """

    def __init__(
        self,
        num_envs: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        reward: Callable[[NDArray[np.float64]], NDArray[np.float32]],
        life_loss_terminal: bool,
        seed: int,
        parts: int = 1,
        starts_envs: int = 0,
        potential: Potential | None = None,
    ) -> None:
        super().__init__(num_envs, observation_space, action_space)
        self.parts = [slice(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(num_envs), parts)]
        self.run_seed = seed
        self._new_run_seed: int | None = None  # from the next reset on
        self._reward = reward
        self._life_loss_terminal = life_loss_terminal
        self._starts_envs = starts_envs
        self._potential = potential
        self._began = time.time()
        self._episode_counts = np.zeros(num_envs, np.int64)  # begun so far in each environment
        # Of the episode under way in each environment.
        self._returns = np.zeros(num_envs)
        self._lives = np.zeros(num_envs, np.int32)
        self._potentials = np.zeros(num_envs)
        self._episode_seeds = [0] * num_envs
        self._starts: list[Sequence[int]] = [()] * num_envs
        self._actions: list[list[Any]] = [[] for _ in range(num_envs)]  # ints, or lists of floats
        self._action_dtype = trace_dtype(action_space)
        # The actions of the steps under way.
        self._sent: NDArray[Any] = np.zeros((num_envs, *(action_space.shape or ())), action_space.dtype)

    @abstractmethod
    def _reset_envs(self, indices: NDArray[np.int64], seeds: list[int]) -> ResetResult:
        """Begin the episode of ``seeds[k]`` in environment ``indices[k]``, for every k."""

    @abstractmethod
    def _replay_envs(self, seeds: list[int], actions: Sequence[Sequence[Any]]) -> ResetResult:
        """Begin the episode of ``seeds[i]`` in every environment i and do its actions ``actions[i]`` again."""

    @abstractmethod
    def _send(self, parts: Sequence[slice], actions: NDArray[Any]) -> None:
        """Begin a step of some parts, with their environments' actions out of (N, ...), without waiting."""

    @abstractmethod
    def _receive(self, envs: slice) -> StepResult:
        """Wait for a step of environments that were sent together."""

    def _next_seed(self, index: int) -> int:
        """The seed of the episode that begins next in an environment."""
        return episode_seed(self.run_seed, index, int(self._episode_counts[index]))

    def reset(self) -> Observations:
        """Begin a new episode in every environment; unfinished ones are dropped.

        :return: observations (N, ...)
        """
        if self._new_run_seed is not None:
            self.run_seed = self._new_run_seed
            self._new_run_seed = None
            self._episode_counts[:] = 0
        return self._begin_episodes(np.arange(self.num_envs))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step of all environments with the actions (N, ...)."""
        self._sent[:] = actions
        self._send(self.parts, self._sent)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step.

        :return: observations (N, ...), learner's rewards float32 (N,), dones bool (N,), infos
        """
        return self._finish(slice(0, self.num_envs))

    def send(self, part: slice, actions: NDArray[Any]) -> None:
        """Begin a step of one of ``parts`` with the actions (n, ...). Several parts may be under way."""
        self._sent[part] = actions
        self._send([part], self._sent)

    def receive(self, part: slice) -> VecEnvStepReturn:
        """Wait for the step of a part, in the order in which they were sent; as ``step_wait``, for its n
        environments."""
        return self._finish(part)

    def _finish(self, envs: slice) -> VecEnvStepReturn:
        step = self._receive(envs)
        for recorded, action in zip(self._actions[envs], self._sent[envs].tolist(), strict=True):
            recorded.append(action)
        self._returns[envs] += step.rewards
        over = step.terminated | step.truncated
        dones = over | (step.lives < self._lives[envs]) if self._life_loss_terminal else over
        self._lives[envs] = step.lives
        rewards = step.rewards
        if self._potential is not None:
            potentials = self._potential.of(step.observations, step.lives)
            rewards = rewards + potentials - self._potentials[envs]
            self._potentials[envs] = potentials
        infos: list[dict[str, Any]] = [{} for _ in dones]
        for index in np.flatnonzero(dones):
            infos[index]["terminal_observation"] = step.observations[index].copy()
            infos[index]["TimeLimit.truncated"] = bool(step.truncated[index] and not step.terminated[index])
        observations = step.observations
        finished = np.flatnonzero(over) + envs.start
        if finished.size:
            for index in finished[finished >= self._starts_envs]:
                infos[index - envs.start]["episode"] = {
                    "r": float(self._returns[index]),
                    "l": len(self._actions[index]),
                    "t": round(time.time() - self._began, 6),
                }
                infos[index - envs.start]["trace"] = self._trace(int(index))
            observations = self._begin_episodes(finished)[envs]
        return observations, self._reward(rewards), dones, infos

    def _begin_episodes(self, indices: NDArray[np.int64]) -> Observations:
        seeds = [self._next_seed(int(index)) for index in indices]
        self._episode_counts[indices] += 1
        result = self._reset_envs(indices, seeds)
        self._returns[indices] = 0.0
        self._lives[indices] = result.lives[indices]
        if self._potential is not None:
            self._potentials[indices] = self._potential.of(result.observations[indices], result.lives[indices])
        for index, seed, start in zip(indices, seeds, result.starts, strict=True):
            self._episode_seeds[index] = seed
            self._starts[index] = start
            self._actions[index] = []
        return result.observations

    def state(self) -> dict[str, Any]:
        """The state to resume from, fit for JSON: the seeds and actions of the episodes under way."""
        indices = range(self.num_envs)
        return {
            "run_seed": self.run_seed,
            "seeds": list(self._episode_seeds),
            "episode_counts": self._episode_counts.tolist(),
            "scores": self._returns.tolist(),
            "actions": [base64.b85encode(zlib.compress(self._recorded(index).tobytes())).decode() for index in indices],
        }

    def load_state(self, state: dict[str, Any]) -> Observations:
        """Go on where an environment with the same settings was when ``state`` was taken, by replaying its episodes.

        :return: the newest observations there, (N, ...)
        :raises UserError: when the state is of another number of environments
        """
        shape = (-1, *self._sent.shape[1:])
        packed = [zlib.decompress(base64.b85decode(text)) for text in state["actions"]]
        actions = [np.frombuffer(one, self._action_dtype).reshape(shape).tolist() for one in packed]
        if len(actions) != self.num_envs:
            saved = f"the checkpoint has {len(actions)} environments"
            raise UserError(f"{saved}, the settings have {self.num_envs}", status=1)
        self.run_seed = int(state["run_seed"])
        self._episode_counts[:] = state["episode_counts"]
        self._episode_seeds = list(state["seeds"])
        result = self._replay_envs(self._episode_seeds, actions)
        self._returns[:] = state["scores"]
        self._lives = result.lives.copy()
        if self._potential is not None:
            self._potentials = self._potential.of(result.observations, result.lives)
        self._starts = list(result.starts)
        self._actions = actions
        return result.observations

    def _trace(self, index: int) -> Trace:
        return Trace(
            seed=self._episode_seeds[index],
            start=np.array(self._starts[index], np.uint8),
            actions=self._recorded(index),
        )

    def _recorded(self, index: int) -> NDArray[Any]:
        """The actions of the episode under way, (L, ...)."""
        return np.array(self._actions[index], self._action_dtype)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Set the run's seed from the next reset on; that of now takes back another one that was set before.

        Stable-Baselines3's models call it with their own seed.
        """
        if seed is not None:
            self._new_run_seed = seed if seed != self.run_seed else None
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this vector environment, once for each environment; they have no objects of their own."""
        value = None if attr_name == "render_mode" else getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not offered: the environments have no objects of their own to set attributes on.

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
        """True for ``Monitor`` alone, because the infos hold what ``Monitor`` would put there."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]
