"""Agent steps a second of whole trainings, this project beside Stable-Baselines3 by itself, in turn.

    python -m bench.training --work ppo-pixels
    python -m bench.training --work qrdqn-pixels
    python -m bench.training --work ppo-ram
    python -m bench.training --work extras          # this project with and without log, traces, videos, checkpoints

Every measurement is a process of its own, with the libraries' defaults in the peer's. Both learn with the same
hyperparameters, those of rl_zoo_configs/ (PPO from pixels: 8 games x 128 steps, batch 256, 4 epochs, Nature CNN).
Importing, building and the first updates are not counted.

Credits: Stable-Baselines3's ``make_atari_env`` and sb3-contrib's ``QRDQN``, the peers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ale_py  # noqa: F401  (registers the games, in worker processes too)
import tyro
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from bench.alternate import alternate
from common.parallel import one_torch_thread

Work = Literal["ppo-pixels", "qrdqn-pixels", "ppo-ram", "extras"]

# Steps before the clock starts, counted steps.
STEPS: dict[str, tuple[int, int]] = {
    "ppo-pixels": (2_048, 6_144),
    "qrdqn-pixels": (1_600, 1_600),
    "ppo-ram": (8_192, 32_768),
    "extras": (8_192, 65_536),
}
LEARNING_STARTS = 800
WAYS: dict[str, tuple[str, ...]] = {
    "ppo-pixels": ("ours", "ours, float32", "SB3, DummyVecEnv", "SB3, SubprocVecEnv"),
    "qrdqn-pixels": ("ours", "SB3, DummyVecEnv", "SB3, SubprocVecEnv"),
    "ppo-ram": ("ours", "SB3, DummyVecEnv", "SB3, SubprocVecEnv"),
    "extras": ("ours, all extras", "ours, nothing kept"),
}


@dataclass(frozen=True)
class Settings:
    """Measure trainings."""

    work: Work = "ppo-pixels"
    """What is trained."""
    rounds: int = 3
    """Measurements of each."""
    warm_up: int | None = None
    """Agent steps before the clock starts. Default: some rollouts or updates."""
    steps: int | None = None
    """Counted agent steps. Default: some seconds' worth."""
    n_envs: int | None = None
    """Games at once. Default: the configuration's."""
    only: str | None = None
    """Measure one way once in this process, and print its rate."""


def main() -> None:
    """Run the benchmark."""
    settings = tyro.cli(Settings)
    warm_up, steps = STEPS[settings.work]
    settings = replace(settings, warm_up=settings.warm_up or warm_up, steps=settings.steps or steps)
    if settings.only is not None:
        print(f"rate {_measure(settings)}")
        return
    ways: dict[str, Callable[[], float]] = {way: partial(_in_a_process, settings, way) for way in WAYS[settings.work]}
    alternate(f"{settings.work}", ways, settings.rounds, "agent steps/s", warm_up=False)


def _in_a_process(settings: Settings, way: str) -> float:
    command = [sys.executable, "-m", "bench.training", "--work", settings.work, "--only", way]
    command += ["--warm-up", str(settings.warm_up), "--steps", str(settings.steps)]
    command += [] if settings.n_envs is None else ["--n-envs", str(settings.n_envs)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split("rate ")[-1])


def _measure(settings: Settings) -> float:
    work, way, warm, counted = settings.work, settings.only, settings.warm_up, settings.steps
    assert way is not None and warm is not None and counted is not None
    if work == "extras":
        return _measure_extras(way, warm, counted, settings.n_envs)
    ours, precision = way.startswith("ours"), "float32" if way.endswith("float32") else "auto"
    model = our_model(work, precision, settings.n_envs) if ours else _peer(work, way, settings.n_envs)
    with one_torch_thread() if ours else contextlib.nullcontext():
        model.learn(warm)
        began = time.perf_counter()
        model.learn(counted)
        rate = counted / (time.perf_counter() - began)
    model.env.close()
    return rate


def _settings(work: Work, precision: str, n_envs: int | None = None) -> Any:
    from rl.options import TrainSettings
    from rl.settings import resolve

    algo, obs = work.split("-")
    protocol = "sb3" if obs == "pixels" else None
    user = TrainSettings(algo=algo, obs=obs, protocol=protocol, timesteps=10_000_000, n_envs=n_envs)
    if algo == "qrdqn":
        user = replace(user, set=(f"learning_starts={LEARNING_STARTS}",))
    return resolve(replace(user, precision=precision))  # type: ignore[arg-type]


def our_model(work: Work, precision: str, n_envs: int | None = None) -> Any:
    from rl.agent import build_agent
    from rl.envs.make_env import make_vec_env

    settings = _settings(work, precision, n_envs)
    return build_agent(settings, make_vec_env(settings.environment, settings.n_envs, 742))


def _peer(work: Work, way: str, n_envs: int | None) -> Any:
    from sb3_contrib import QRDQN
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

    kind = SubprocVecEnv if way.endswith("SubprocVecEnv") else DummyVecEnv
    settings = _settings(work, "float32", n_envs)
    if work == "ppo-ram":
        from rl.wrappers import RamBits

        env: VecEnv = make_vec_env(
            "ALE/Gravitar-v5",
            settings.n_envs,
            742,
            env_kwargs={"obs_type": "ram"},
            wrapper_class=RamBits,
            vec_env_cls=kind,
        )
    else:
        env = VecFrameStack(make_atari_env("GravitarNoFrameskip-v4", settings.n_envs, 742, vec_env_cls=kind), 4)
    parsed = settings.parsed
    algorithm: Any = QRDQN if work.startswith("qrdqn") else PPO
    return algorithm(parsed.policy, env, seed=742, device="cpu", **parsed.algorithm)


class Clock(BaseCallback):
    """Notes when the training ends; videos that wait are rendered after that."""

    end = 0.0

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.end = time.perf_counter()


def _measure_extras(way: str, warm: int, counted: int, n_envs: int | None) -> float:
    from callbacks.checkpoint import CheckpointCallback
    from callbacks.scores import ScoreHistory
    from common.run_folder import RunFolder
    from rl.agent import build_agent
    from rl.agent_state import buffer_chunks, capture
    from rl.envs.make_env import make_vec_env
    from rl.train import run_callbacks

    settings = _settings("ppo-ram", "auto", n_envs)
    with tempfile.TemporaryDirectory() as place, one_torch_thread():
        folder = RunFolder.create(Path(place) / "run", settings.to_yaml())
        model = build_agent(settings, make_vec_env(settings.environment, settings.n_envs, 742), folder.tensorboard)
        callbacks: list[Any] = []
        model.learn(warm)
        if way.endswith("all extras"):
            history = ScoreHistory()
            recorders = run_callbacks(settings, folder, history)
            saver = CheckpointCallback(
                folder.checkpoints, settings.checkpoint_every, watched=recorders, history=history
            )
            saver.capture, saver.shared = capture, buffer_chunks
            callbacks = [*recorders, saver]
        clock = Clock()
        began = time.perf_counter()
        model.learn(counted, callback=CallbackList([clock, *callbacks]), reset_num_timesteps=False)
        rate = counted / (clock.end - began)
        for callback in callbacks:
            callback.close()
        assert model.env is not None
        model.env.close()
    return rate


if __name__ == "__main__":
    main()
