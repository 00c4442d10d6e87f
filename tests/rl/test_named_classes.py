"""Classes by their full names: which are found, which are refused, and those whose modules have moved."""

from __future__ import annotations

import importlib
import importlib.util

import gymnasium
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper

from common.errors import UserError
from rl.algorithms.features import RamBitsExtractor
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.buffers.rollout_buffer import LeanRolloutBuffer
from rl.envs.gym_env import LifeLossTerminal, SeededEpisodes
from rl.named_classes import _MOVED, resolve_class
from rl.zoo.config import parse_block
from rl.zoo.literals import parse_expression


def test_classes_by_name() -> None:
    assert resolve_class("stable_baselines3.common.atari_wrappers.AtariWrapper", "x", gymnasium.Wrapper) is AtariWrapper


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "package that configurations may not use"),
        ("gymnasum.Wrapper", "did you mean 'gymnasium'?"),
        (
            "gymnasium.wrappers.TimeLimi",
            "gymnasium.wrappers has no class 'TimeLimi'; did you mean 'TimeLimit'?",
        ),
        ("gymnasium.nowhere.X", "cannot import gymnasium.nowhere"),
        ("stable_baselines3.PPO", "not a kind of Wrapper"),
        ("Wrapper", "not the full name of a class"),
        ("rl..x", "not the full name of a class"),
        ("rl.X", "rl has no class 'X'"),
        ("rl.gym_env.SeededEpisode", "rl.envs.gym_env has no class 'SeededEpisode'; did you mean 'SeededEpisodes'?"),
        ("gymnasium.features.RamBitsExtractor", "cannot import gymnasium.features"),
    ],
)
def test_classes_that_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve_class(name, "my.yml", gymnasium.Wrapper)
    assert message in str(error.value) and str(error.value).startswith("my.yml: ")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rl.features.RamBitsExtractor", RamBitsExtractor),
        ("rl.replay_memory.FrameReplayBuffer", FrameReplayBuffer),
        ("rl.rollout_buffer.LeanRolloutBuffer", LeanRolloutBuffer),
        ("rl.gym_env.SeededEpisodes", SeededEpisodes),
        ("rl.gym_env.LifeLossTerminal", LifeLossTerminal),
        ("rl.envs.gym_env.LifeLossTerminal", LifeLossTerminal),
    ],
)
def test_classes_are_found_by_the_names_they_had_before_their_modules_moved(name: str, found: type) -> None:
    assert resolve_class(name, "x") is found
    assert parse_expression(name, "x") is found


def test_a_configuration_with_old_names_still_builds_the_same() -> None:
    block = {
        "n_timesteps": 1000,
        "policy": "MlpPolicy",
        "policy_kwargs": "dict(features_extractor_class=rl.features.RamBitsExtractor)",
        "replay_buffer_class": "rl.replay_memory.FrameReplayBuffer",
    }
    parsed = parse_block(block, "dqn", "my.yml").algorithm
    assert parsed["policy_kwargs"] == {"features_extractor_class": RamBitsExtractor}
    assert parsed["replay_buffer_class"] is FrameReplayBuffer


@pytest.mark.parametrize(("old", "new"), _MOVED.items())
def test_moved_modules_are_where_the_table_says(old: str, new: str) -> None:
    assert importlib.util.find_spec(f"rl.{old}") is None
    assert importlib.import_module(f"rl.{new}")
