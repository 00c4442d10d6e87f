"""Replay memories to be compared, and real games to fill them with.

sb3-extra-buffers and cpprb take part where they are installed (``pip install sb3-extra-buffers zstd lz4 cpprb``).

Credits: Stable-Baselines3's ``ReplayBuffer`` and ``NStepReplayBuffer``; sb3-extra-buffers (Jin Huang); cpprb
(H. Yamada).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import protocol

ACTIONS = spaces.Discrete(18)
N_STEPS, GAMMA = 3, 0.99
Step = dict[str, Any]


class Cpprb:
    """cpprb's buffers, one an environment, giving tensors as a learner wants them."""

    def __init__(self, size: int, space: spaces.Box, n_envs: int, prioritised: bool = False, n_steps: int = 1) -> None:
        cpprb: Any = import_module("cpprb")
        self.pixels = len(space.shape) == 3
        # The stack has to be the last axis.
        self.shape = (*space.shape[1:], space.shape[0]) if self.pixels else space.shape
        entries: dict[str, Any] = {"obs": {"shape": self.shape, "dtype": np.uint8}, "rew": {}, "done": {}}
        entries["act"] = {"dtype": np.int64}
        kwargs: dict[str, Any] = {"stack_compress": "obs"} if self.pixels else {}
        if n_steps == 1:
            kwargs["next_of"] = "obs"
        else:
            # With next_of there would be no next observations at all.
            entries["next_obs"] = entries["obs"]
            kwargs["Nstep"] = {"size": n_steps, "gamma": GAMMA, "rew": "rew", "next": "next_obs"}
        kind = cpprb.PrioritizedReplayBuffer if prioritised else cpprb.ReplayBuffer
        self.buffers = [kind(size // n_envs, entries, **kwargs) for _ in range(n_envs)]

    def stacked_last(self, observation: Any) -> Any:
        """An observation as cpprb wants it."""
        return observation.transpose(1, 2, 0) if self.pixels else observation

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: Any) -> None:
        """As Stable-Baselines3's."""
        for env, buffer in enumerate(self.buffers):
            buffer.add(
                obs=self.stacked_last(obs[env]),
                next_obs=self.stacked_last(next_obs[env]),
                act=action[env],
                rew=reward[env],
                done=float(done[env] and not infos[env].get("TimeLimit.truncated", False)),
            )
            if done[env]:
                buffer.on_episode_end()

    def sample(self, batch_size: int) -> dict[str, th.Tensor]:
        """The same number from every environment, which costs the fewest calls."""
        parts = [buffer.sample(batch_size // len(self.buffers)) for buffer in self.buffers]
        joined = {key: th.from_numpy(np.concatenate([part[key] for part in parts])) for key in parts[0]}
        if self.pixels:
            joined |= {key: joined[key].permute(0, 3, 1, 2) for key in ("obs", "next_obs")}
        return joined


def candidates(size: int, n_envs: int, space: spaces.Box, only: tuple[str, ...] = ()) -> dict[str, Callable[[], Any]]:
    """Makers of empty buffers by name, the first is ours.

    :param only: how the names begin, nothing for all
    """
    ours: dict[str, Any] = {"n_envs": n_envs, "seed": 742, "device": "cpu"}
    common: dict[str, Any] = {"n_envs": n_envs, "device": "cpu"}
    n_step: dict[str, Any] = {"n_steps": N_STEPS, "gamma": GAMMA}
    made: dict[str, Callable[[], Any]] = {
        "FrameReplayBuffer": lambda: FrameReplayBuffer(size, space, ACTIONS, **ours),
        "FrameReplayBuffer, 3 steps": lambda: FrameReplayBuffer(size, space, ACTIONS, **ours, **n_step),
        "FrameReplayBuffer, priorities": lambda: FrameReplayBuffer(size, space, ACTIONS, **ours, alpha=0.6),
        "SB3 ReplayBuffer": lambda: ReplayBuffer(size, space, ACTIONS, **common),
        "SB3 ReplayBuffer, optimize_memory_usage": lambda: ReplayBuffer(
            size, space, ACTIONS, optimize_memory_usage=True, handle_timeout_termination=False, **common
        ),
        "SB3 NStepReplayBuffer": lambda: NStepReplayBuffer(size, space, ACTIONS, **n_step, **common),
    }
    for missing in (name for name in ("sb3_extra_buffers", "cpprb") if not find_spec(name)):
        print(f"left out, since it is not installed: {missing}", file=sys.stderr)
    if find_spec("sb3_extra_buffers"):
        compressed = import_module("sb3_extra_buffers.compressed").CompressedReplayBuffer
        for method in ("zstd-3", "lz4-frame/1", "rle"):
            made[f"sb3-extra-buffers, {method}"] = lambda method=method: compressed(  # type: ignore[misc]
                size, space, ACTIONS, compression_method=method, **common
            )
    if find_spec("cpprb"):
        made["cpprb"] = lambda: Cpprb(size, space, n_envs)
        made["cpprb, 3 steps"] = lambda: Cpprb(size, space, n_envs, n_steps=N_STEPS)
        made["cpprb, priorities"] = lambda: Cpprb(size, space, n_envs, prioritised=True)
    return {name: make for name, make in made.items() if not only or name.startswith(only)}


def record(obs: Literal["pixels", "ram"], n_envs: int, steps: int) -> tuple[spaces.Box, list[Step]]:
    """So many steps of real games, played at random, as arguments of ``add``. Lost lives are terminals."""
    env = AtariVecEnv("gravitar", n_envs, obs, protocol("sb3"), 742)
    random = np.random.default_rng(742)
    tape = []
    now: Any = env.reset()
    for _ in range(steps):
        action = random.integers(ACTIONS.n, size=n_envs)
        new: Any
        new, reward, done, infos = env.step(action)
        following = new
        if done.any():
            following = new.copy()
            for index in np.flatnonzero(done).tolist():
                following[index] = infos[index]["terminal_observation"]
        cut = [{"TimeLimit.truncated": info.get("TimeLimit.truncated", False)} for info in infos]
        tape.append({"obs": now, "next_obs": following, "action": action, "reward": reward, "done": done, "infos": cut})
        now = new
    env.close()
    assert isinstance(env.observation_space, spaces.Box)
    return env.observation_space, tape


def fill(buffer: Any, tape: list[Step], transitions: int) -> Iterator[Step]:
    """Add so many transitions, the tape over and over; gives the steps that come next."""
    steps = cycle(tape)
    for _ in range(transitions // len(tape[0]["done"])):
        buffer.add(**next(steps))
    return steps
