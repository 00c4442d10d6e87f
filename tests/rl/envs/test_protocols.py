"""Named protocols against the sources that they are named after, and the learner's rewards worked out by hand.

Credits: gymnasium's and ale-py's registered ids; Stable-Baselines3's ``AtariWrapper``.
"""

from __future__ import annotations

import inspect

import ale_py
import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper

from common.errors import UserError
from rl.envs.protocols import PROTOCOLS, Protocol, protocol, reward_transform

gymnasium.register_envs(ale_py)


@pytest.mark.parametrize(
    ("name", "env_id"),
    [
        ("assignment", "Gravitar-v0"),
        ("v5", "ALE/Gravitar-v5"),
        ("machado", "ALE/Gravitar-v5"),
        ("ram", "ALE/Gravitar-v5"),
        ("sb3", "GravitarNoFrameskip-v4"),
        ("nature", "GravitarNoFrameskip-v4"),
    ],
)
def test_emulator_settings_are_those_of_the_id(name: str, env_id: str) -> None:
    kwargs = gymnasium.spec(env_id).kwargs
    # AtariWrapper skips 4 frames where the id has no skip.
    skip = 4 if kwargs["frameskip"] == 1 else kwargs["frameskip"]
    chosen = protocol(name)
    assert chosen.frame_skip == skip
    assert chosen.sticky == kwargs["repeat_action_probability"]
    assert chosen.max_frames == kwargs["max_num_frames_per_episode"] == 108_000


def test_sb3_is_its_wrappers_defaults() -> None:
    defaults = {name: value.default for name, value in inspect.signature(AtariWrapper).parameters.items()}
    chosen = protocol("sb3")
    assert chosen.frame_skip == defaults["frame_skip"]
    assert chosen.noop_max == defaults["noop_max"]
    assert chosen.screen_size == defaults["screen_size"]
    assert chosen.life_loss_terminal is defaults["terminal_on_life_loss"] is True
    assert chosen.sticky == defaults["action_repeat_probability"]
    assert chosen.reward == "clip" and defaults["clip_reward"] is True
    assert chosen.fire_reset is True  # the wrapper's FireResetEnv


def test_rows_that_come_from_papers() -> None:
    # Mnih et al. 2015: k=4, m=4, 84x84, up to 30 no-ops, clipped rewards, a lost life ends an episode.
    assert protocol("nature") == Protocol(
        frame_skip=4, sticky=0.0, noop_max=30, fire_reset=False, life_loss_terminal=True, reward="clip",
        frame_stack=4, screen_size=84, max_frames=108_000,
    )  # fmt: skip
    # Machado et al. 2018: sticky actions 0.25, no no-ops, whole games.
    assert protocol("machado") == Protocol(sticky=0.25, noop_max=0, life_loss_terminal=False, reward="clip")


def test_the_assignment_shows_rewards_as_they_are() -> None:
    assert protocol("assignment").reward == "raw" and protocol("assignment").frame_stack == 1


def test_every_reward_of_the_table_is_one() -> None:
    for row in PROTOCOLS.values():
        reward_transform(row.reward)


def test_unknown_names_are_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown protocol 'machada' .*; did you mean 'machado'") as error:
        protocol("machada")
    assert all(name in str(error.value) for name in PROTOCOLS)
    assert error.value.status == 2


RAW = np.array([0.0, 100.0, 250.0, 1_000.0, -250.0])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("raw", [0, 100, 250, 1_000, -250]),
        ("clip", [0, 1, 1, 1, -1]),
        ("scale:250", [0, 0.4, 1, 4, -1]),
        ("scale:.5", [0, 200, 500, 2_000, -500]),
        ("sqrt:250", [0, np.sqrt(0.4), 1, 2, -1]),
        ("sqrt:2.5", [0, np.sqrt(40), 10, 20, -10]),
    ],
)
def test_rewards(spec: str, expected: list[float]) -> None:
    rewards = reward_transform(spec)(RAW)
    assert rewards.dtype == np.float32
    assert np.array_equal(rewards, np.array(expected, np.float32))
    assert RAW.tolist() == [0.0, 100.0, 250.0, 1_000.0, -250.0]


@pytest.mark.parametrize(
    "spec",
    ["", "clipped", "scale", "scale:", "scale:0", "scale:0.0", "scale:-1", "sqrt:inf", "sqrt:nan", "raw:2", "clip "],
)
def test_rewards_that_are_none(spec: str) -> None:
    with pytest.raises(UserError, match=f"reward '{spec}' is none of raw, clip, scale:D, sqrt:D") as error:
        reward_transform(spec)
    assert error.value.status == 2 and "\n" not in str(error.value)
