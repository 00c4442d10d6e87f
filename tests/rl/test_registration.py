"""Environment ids: unknown ones, Atari games', and the legacy RAM ids beside ale-py's own."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from ale_py.env import AtariEnv

from common.errors import UserError
from rl.registration import find_spec, is_atari, register_ram_ids


def test_unknown_ids_are_named_with_the_nearest() -> None:
    assert find_spec("ALE/Gravitar-v5").kwargs["game"] == "gravitar"
    with pytest.raises(UserError, match="'ALE/Gravitas-v5'; did you mean 'ALE/Gravitar-v5'") as error:
        find_spec("ALE/Gravitas-v5")
    assert error.value.status == 2
    with pytest.raises(UserError, match="unknown environment 'gravitar-ram-v0'; did you mean 'Gravitar-ram-v0'"):
        find_spec("gravitar-ram-v0")


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("ALE/Gravitar-v5", True),
        ("Gravitar-v0", True),
        ("Gravitar-ram-v0", True),
        ("GravitarNoFrameskip-v4", True),
        ("CartPole-v1", False),
    ],
)
def test_atari_ids(env_id: str, expected: bool) -> None:
    assert is_atari(env_id) is expected


def test_every_legacy_id_has_its_ram_variant() -> None:
    legacy = [
        spec.id
        for spec in gymnasium.registry.values()
        if spec.entry_point == "ale_py.env:AtariEnv" and "ALE/" not in spec.id and "-ram" not in spec.id
    ]
    assert "Gravitar-v0" in legacy and "PongNoFrameskip-v4" in legacy
    for env_id in legacy:
        game = env_id.removesuffix("-v0").removesuffix("-v4").removesuffix("NoFrameskip")
        assert env_id.replace(game, f"{game}-ram", 1) in gymnasium.registry


@pytest.mark.parametrize(
    ("env_id", "sticky", "frameskip"),
    [
        ("Gravitar-ram-v0", 0.25, (2, 5)),
        ("Gravitar-ram-v4", 0.0, (2, 5)),
        ("Gravitar-ramNoFrameskip-v0", 0.25, 1),
        ("Gravitar-ramNoFrameskip-v4", 0.0, 1),
    ],
)
def test_settings_of_the_old_gym_ids(env_id: str, sticky: float, frameskip: tuple[int, int] | int) -> None:
    kwargs = gymnasium.spec(env_id).kwargs
    assert kwargs["game"] == "gravitar"
    assert kwargs["obs_type"] == "ram"
    assert kwargs["repeat_action_probability"] == sticky
    assert kwargs["frameskip"] == frameskip


def test_it_shows_the_memory_of_the_game() -> None:
    env = gymnasium.make("Gravitar-ram-v0")
    assert isinstance(env.unwrapped, AtariEnv)
    observation, _ = env.reset(seed=3)
    assert observation.shape == (128,) and observation.dtype == np.uint8
    assert np.array_equal(observation, env.unwrapped.ale.getRAM())
    env.close()


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    assert register_ram_ids() == []
    assert dict(gymnasium.registry) == before
