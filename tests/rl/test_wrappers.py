"""The bits of RAM against numpy and the emulator, and scaled rewards against the unscaled game."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py.env import AtariEnv

from common.errors import UserError
from rl import registration  # noqa: F401  registers the RAM ids
from rl.wrappers import RamBits, ScaleReward


@pytest.fixture
def ram_env() -> Iterator[gymnasium.Env[np.ndarray, int]]:
    env = gymnasium.make("Gravitar-ram-v4")
    yield env
    env.close()


def test_bits_of_known_bytes(ram_env: gymnasium.Env[np.ndarray, int]) -> None:
    memory = np.zeros(128, dtype=np.uint8)
    memory[0], memory[1], memory[127] = 129, 6, 1
    bits = RamBits(ram_env).observation(memory)
    assert bits.dtype == np.uint8
    assert bits[:16].tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    assert bits[1016:].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert bits.sum() == 5


def test_bits_in_play_are_those_of_the_emulator(ram_env: gymnasium.Env[np.ndarray, int]) -> None:
    env, atari = RamBits(ram_env), ram_env.unwrapped
    assert isinstance(atari, AtariEnv)
    assert env.observation_space == gymnasium.spaces.Box(0, 1, (1024,), np.uint8)
    observation, _ = env.reset(seed=742)
    for action in (0, 1, 2, 5, 10):
        memory = atari.ale.getRAM()
        assert np.array_equal(observation, np.unpackbits(memory))
        # The bytes come back, most significant bit first.
        assert np.array_equal(observation.reshape(128, 8) @ (2 ** np.arange(7, -1, -1)), memory)
        assert env.observation_space.contains(observation)
        observation, *_ = env.step(action)


def test_pixels_are_refused() -> None:
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Gravitar-v5")
    with pytest.raises(UserError, match="RamBits needs the bytes of a game's RAM"):
        RamBits(env)
    env.close()


def test_rewards_are_divided_and_nothing_else_changes() -> None:
    plain, scaled = gymnasium.make("Pong-ram-v4"), ScaleReward(gymnasium.make("Pong-ram-v4"), divisor=4)
    plain.reset(seed=1)
    scaled.reset(seed=1)
    rewards = set()
    for _ in range(150):
        observation, reward, *ends = plain.step(0)
        scaled_observation, scaled_reward, *scaled_ends = scaled.step(0)
        assert np.array_equal(observation, scaled_observation)
        assert ends == scaled_ends
        rewards.add((float(reward), scaled_reward))
    # Pong pays one point at a time; who stands still loses some in this time.
    assert rewards == {(0.0, 0.0), (-1.0, -0.25)}
    plain.close()
    scaled.close()


@pytest.mark.parametrize("divisor", [0, -250, float("nan"), float("inf"), "250", True])
def test_a_divisor_that_is_none_is_refused(ram_env: gymnasium.Env[np.ndarray, int], divisor: Any) -> None:
    with pytest.raises(UserError, match="divisor must be a finite number above 0"):
        ScaleReward(ram_env, divisor)
