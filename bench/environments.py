"""Environment steps a second: this project's Atari environments and what else there is, in turn.

    python -m bench.environments --obs ram
    python -m bench.environments --obs pixels

Random actions, no learner. RAM: frame skip 4, sticky actions 0.25. Pixels: frame skip 4, 84x84 grey, stack of 4,
life-loss terminals, clipped rewards, no sticky actions.

Credits: gymnasium's ``AsyncVectorEnv``; Stable-Baselines3's ``make_atari_env``, ``SubprocVecEnv``, ``DummyVecEnv``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import ale_py
import gymnasium as gym
import numpy as np
import tyro
from ale_py.vector_env import AtariVectorEnv
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

from bench.alternate import alternate
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import protocol

ACTIONS = 18


@dataclass(frozen=True)
class Settings:
    """Measure environment steps a second."""

    obs: Literal["ram", "pixels"] = "ram"
    """Observation."""
    n_envs: int = 8
    """Games at once."""
    steps: int = 8_000
    """Agent steps of one measurement, summed over the games."""
    rounds: int = 5
    """Measurements of each."""


def main() -> None:
    """Run the benchmark."""
    settings = tyro.cli(Settings)
    makers = RAM if settings.obs == "ram" else PIXELS
    environments = {name: make(settings.n_envs) for name, make in makers.items()}
    for environment in environments.values():
        environment.reset()
    ways = {name: _rate(environment, settings) for name, environment in environments.items()}
    alternate(f"Gravitar, {settings.obs}, {settings.n_envs} games", ways, settings.rounds, "agent steps/s")
    for environment in environments.values():
        environment.close()


def _rate(environment: Any, settings: Settings) -> Callable[[], float]:
    random = np.random.default_rng(742)

    def work() -> float:
        began = time.perf_counter()
        for _ in range(settings.steps // settings.n_envs):
            environment.step(random.integers(ACTIONS, size=settings.n_envs))
        return settings.steps / (time.perf_counter() - began)

    return work


def _gym_ram() -> gym.Env[Any, Any]:
    gym.register_envs(ale_py)
    return Monitor(gym.make("ALE/Gravitar-v5", obs_type="ram"))


def _atari(kind: type[DummyVecEnv] | type[SubprocVecEnv]) -> Callable[[int], VecEnv]:
    # NoFrameskip-v4 has no sticky actions; AtariWrapper does the rest.
    return lambda n: VecFrameStack(make_atari_env("GravitarNoFrameskip-v4", n, seed=742, vec_env_cls=kind), 4)


RAM: dict[str, Callable[[int], Any]] = {
    "ours, RAM (a worker a core)": lambda n: AtariVecEnv("gravitar", n, "ram", protocol("ram"), 742),
    "ours, RAM (one worker)": lambda n: AtariVecEnv("gravitar", n, "ram", protocol("ram"), 742, workers=1),
    "gymnasium AsyncVectorEnv, shared memory": lambda n: gym.vector.AsyncVectorEnv([_gym_ram] * n, shared_memory=True),
    "SB3 SubprocVecEnv": lambda n: SubprocVecEnv([_gym_ram] * n),
    "SB3 DummyVecEnv": lambda n: DummyVecEnv([_gym_ram] * n),
}
PIXELS: dict[str, Callable[[int], Any]] = {
    "ours, pixels": lambda n: AtariVecEnv("gravitar", n, "pixels", protocol("sb3"), 742),
    "ALE's AtariVectorEnv, games reset when over": lambda n: AtariVectorEnv("gravitar", n, repeat_action_probability=0),
    "make_atari_env, SubprocVecEnv": _atari(SubprocVecEnv),
    "make_atari_env, DummyVecEnv": _atari(DummyVecEnv),
}

if __name__ == "__main__":
    main()
