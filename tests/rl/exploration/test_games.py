"""The table of RAM addresses against what the emulator says, and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.ram import bcd
from rl.exploration.games import explored_game, gravitar, montezuma_revenge


def test_score_lives_and_fuel_of_gravitar_over_whole_games() -> None:
    game = AtariGame(GameSettings("gravitar"))
    ram = np.zeros(128, np.uint8)
    scores = []
    for seed in range(6):
        game.reset(seed)
        rng = np.random.default_rng(seed)
        score, fuel, lives, action = 0.0, 10_000, 6, 0
        while True:
            action = int(rng.integers(18)) if rng.random() < 0.2 else action
            reward, terminated, _ = game.step(action)
            score += reward
            if terminated:
                break
            game.ram(ram)
            moment = gravitar(ram.tobytes())
            assert (moment.score, moment.lives) == (score, game.lives())
            if moment.lives == lives and not reward:
                assert moment.fuel <= fuel or moment.stage[0] == 3, "only a planet has fuel to pick up"
            fuel, lives = moment.fuel, moment.lives
        scores.append(score)
    assert sum(scores) > 0


def test_score_and_lives_of_montezumas_revenge() -> None:
    game = AtariGame(GameSettings("montezuma_revenge"))
    ram = np.zeros(128, np.uint8)
    game.reset(1)
    rng = np.random.default_rng(1)
    seen = set()
    terminated = False
    for _ in range(900):
        _, terminated, _ = game.step(int(rng.integers(18)))
        if terminated:
            break
        game.ram(ram)
        moment = montezuma_revenge(ram.tobytes())
        assert (moment.score, moment.lives) == (0, game.lives())
        assert moment.stage == (0, 1, 0), "level 0, the first room, nothing in the inventory"
        seen.add(moment.position)
    assert len(seen) > 5


def test_a_moment_of_gravitar_made_by_hand() -> None:
    ram = bytearray(128)
    ram[1], ram[2], ram[3], ram[4] = 3, 1, 0b1101, 2
    ram[7:10] = bytes.fromhex("013350")
    ram[10:13] = bytes.fromhex("009875")
    ram[30], ram[32] = 79, 16
    moment = gravitar(bytes(ram))
    assert tuple(moment) == ((3, 1, 0b1101), (9, 2), 13350, 3, 9875)
    assert moment.cell == ((3, 1, 0b1101), 13350, (9, 2))
    assert (moment.reserve, moment.promise) == (15875, 13350 + 1200 + 1975)


def test_decimal_digits() -> None:
    assert bcd(bytes([0x01, 0x23, 0x45])) == 12345


def test_a_game_without_cells_is_refused_with_those_that_have() -> None:
    with pytest.raises(UserError, match=r"pong has no cells to explore by.*gravitar, montezuma_revenge"):
        explored_game("pong")
