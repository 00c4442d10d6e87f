"""Shaping by lives and fuel: the sums by hand, and over real games."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import Protocol
from rl.envs.shaping import Potential, parse_shaping
from rl.options import TrainSettings
from rl.settings import resolve


def test_a_potential_by_hand() -> None:
    ram = np.zeros((2, 128), np.uint8)
    ram[0, 10:13] = [0x01, 0x23, 0x45]
    ram[1, 10:13] = [0x00, 0x98, 0x07]
    potential = Potential("gravitar", life=150.0, fuel=0.5)
    assert potential.of(ram, np.array([6, 2], np.int32)).tolist() == [900 + 12345 / 2, 300 + 9807 / 2]
    assert Potential("pong", 2.0, 0.0).of(ram, np.array([6, 2], np.int32)).tolist() == [12.0, 4.0]


def test_the_learner_gets_the_change_and_the_log_the_score() -> None:
    protocol = Protocol(reward="scale:250", life_loss_terminal=True, shaping="life:150,fuel:0.05")
    env = AtariVecEnv("gravitar", 2, "ram", protocol, seed=4, workers=1)
    plain = AtariVecEnv("gravitar", 2, "ram", Protocol(reward="raw", life_loss_terminal=True), seed=4, workers=1)
    potential = Potential("gravitar", 150.0, 0.05)
    before = [potential.of(np.asarray(env.reset()), np.array([6, 6], np.int32))]
    plain.reset()
    lives = np.array([6, 6], np.int32)
    rng = np.random.default_rng(1)
    actions = np.zeros(2, np.int64)
    ends = 0
    for _ in range(700):
        actions = np.where(rng.random(2) < 0.2, rng.integers(18, size=2), actions)
        step: Any = env.step(actions)
        same: Any = plain.step(actions)
        observations, rewards, dones, infos = step
        assert np.array_equal(observations, same[0]) and [set(info) for info in infos] == [set(i) for i in same[3]]
        last = np.stack([
            info.get("terminal_observation", observation) for info, observation in zip(infos, observations, strict=True)
        ])  # fmt: skip
        over = np.array(["episode" in info for info in infos])
        lives = np.where(over, 0, lives - dones).astype(np.int32)  # without fuel, all lives are lost at once
        now = potential.of(last, lives)
        expected = (same[1] + now - before[-1]) / 250
        assert rewards == pytest.approx(expected, abs=1e-5)
        for index, info in enumerate(infos):
            if "episode" in info:
                ends += 1
                assert info["episode"]["r"] == same[3][index]["episode"]["r"]
                lives[index] = 6
        before.append(potential.of(observations, lives))
    env.close()
    plain.close()
    assert ends >= 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"shaping": "lives:3"}, "--shaping lives:3: write points as in life:150,fuel:0.05; did you mean 'life'?"),
        ({"shaping": "life"}, "write points as in"),
        (
            {"shaping": "fuel:0.1", "env": "ALE/Pong-v5", "obs": "ram", "reward": "raw"},
            "where pong keeps fuel is not known",
        ),
        ({"shaping": "life:1", "reward": "clip"}, "--shaping adds points, of which --reward clip leaves too little"),
        ({"shaping": "life:1", "obs": "pixels"}, "--shaping reads an Atari game's RAM"),
    ],
)
def test_mistakes(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(TrainSettings(**flags))
    assert message in str(raised.value)


def test_without_a_text_there_is_none() -> None:
    assert parse_shaping("", "pong") is None
    assert parse_shaping("life:2", "pong") == Potential("pong", 2.0, 0.0)
