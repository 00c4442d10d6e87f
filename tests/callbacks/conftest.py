"""Environments whose episodes are known beforehand, and the smallest models to play them, for tests of callbacks.

Credits: dqn_zoo for tapes of events; Stable-Baselines3's models and ``Monitor``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv


class TapeEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Its episodes have given lengths and scores, whatever the actions. After the last one, it never ends.

    :param tape: (length in steps, score in points) of each episode
    """

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, tape: Sequence[tuple[int, float]]) -> None:
        self.tape = iter(tape)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left, self.score = next(self.tape, (10**9, 0.0))
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        over = self.left == 0
        return np.zeros(1, np.float32), self.score if over else 0.0, over, False, {}


def _tape_env(*tapes: Sequence[tuple[int, float]]) -> DummyVecEnv:
    def maker(tape: Sequence[tuple[int, float]]) -> Callable[[], Monitor]:
        return lambda: Monitor(TapeEnv(tape))

    return DummyVecEnv([maker(tape) for tape in tapes])


@pytest.fixture(scope="session")
def tape_env() -> Callable[..., DummyVecEnv]:
    """``tape_env(tape, ...)``: one environment a tape, each in Stable-Baselines3's ``Monitor``."""
    return _tape_env


def _ppo(env: VecEnv, n_steps: int = 8, **arguments: Any) -> PPO:
    settings: dict[str, Any] = {
        "n_epochs": 1,
        "policy_kwargs": {"net_arch": [2]},
        "seed": 1,
        "device": "cpu",
        **arguments,
    }
    return PPO("MlpPolicy", env, n_steps=n_steps, batch_size=n_steps * env.num_envs, **settings)


def _dqn(env: VecEnv, **arguments: Any) -> DQN:
    settings: dict[str, Any] = {
        "buffer_size": 100,
        "learning_starts": 10**6,
        "train_freq": 1,
        "seed": 1,
        "device": "cpu",
        **arguments,
    }
    return DQN("MlpPolicy", env, policy_kwargs={"net_arch": [2]}, **settings)


@pytest.fixture(scope="session")
def ppo() -> Callable[..., PPO]:
    """``ppo(env, n_steps)``: a model that learns in no time."""
    return _ppo


@pytest.fixture(scope="session")
def dqn() -> Callable[..., DQN]:
    """``dqn(env)``: a model that explores and never learns."""
    return _dqn
