"""Fixtures of several tests: replayed episodes and short runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from common.traces import Trace
from rl.envs.atari_game import AtariGame, GameSettings
from tests.traced_games import EpisodeEnds, Play, Replay


@cache
def _game(settings: GameSettings) -> AtariGame:
    return AtariGame(settings)


def _replay(settings: GameSettings, trace: Trace) -> tuple[float, int, bool, bool]:
    """Raw score, agent steps until the game's end, whether it was over, whether it was cut."""
    game = _game(settings)
    game.reset(trace.seed, trace.start.tolist())
    score = 0.0
    for length, action in enumerate(trace.actions.tolist(), start=1):
        reward, terminated, truncated = game.step(action)
        score += reward
        if terminated or truncated:
            return score, length, terminated, truncated
    return score, len(trace.actions), False, False


@pytest.fixture(scope="session")
def replay() -> Replay:
    """``replay(settings, trace)`` replays a trace in an emulator of its own."""
    return _replay


def _play(env: Any, steps: int, seed: int = 0, constant: dict[int, int] | None = None) -> list[dict[str, Any]]:
    """Do random actions, in the environments of ``constant`` always that action; the results of every step."""
    rng = np.random.default_rng(seed)
    tape = [{"observations": env.reset().copy()}]
    for _ in range(steps):
        actions = rng.integers(env.action_space.n, size=env.num_envs)
        for index, action in (constant or {}).items():
            actions[index] = action
        observations, rewards, dones, infos = env.step(actions)
        tape.append(
            {"observations": observations.copy(), "rewards": rewards.copy(), "dones": dones.copy(), "infos": infos}
        )
    return tape


@pytest.fixture(scope="session")
def play() -> Play:
    """``play(env, steps, seed, constant)`` does random actions and returns a tape of all results."""
    return _play


@pytest.fixture(scope="session")
def episode_ends() -> EpisodeEnds:
    """``episode_ends(tape)`` are the infos at the ends of a tape's episodes, in the order in which they ended."""
    return lambda tape: [info for step in tape[1:] for info in step["infos"] if "episode" in info]
