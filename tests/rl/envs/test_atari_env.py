"""Tests of rl/envs/atari_env.py that hold for RAM and for screens."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from common.errors import UserError
from rl.envs.atari_env import HALVED, AtariVecEnv
from rl.envs.atari_game import GameSettings
from rl.envs.protocols import Protocol
from tests.traced_games import Replay

UP = 2  # who only flies up falls into the sun with each of six ships


@pytest.mark.parametrize("obs", ["ram", "pixels"])
def test_an_environment_goes_on_in_another_process_where_it_was(replay: Replay, obs: str) -> None:
    """Unfinished episodes are replayed up to where they were, whatever the number of workers."""
    protocol = Protocol(life_loss_terminal=True, max_frames=1_200)

    def make(workers: int) -> AtariVecEnv:
        return AtariVecEnv("gravitar", 2, obs, protocol, seed=9, workers=workers)

    rng = np.random.default_rng(2)
    actions = rng.integers(18, size=(320, 2))
    actions[:, 0] = UP  # its first episode is over after about 235 steps
    first = make(1)
    first.reset()
    for action in actions[:260]:
        newest, _, _, _ = first.step(action)
    state = json.loads(json.dumps(first.state()))
    expected: list[Any] = [first.step(action) for action in actions[260:]]
    expected = [(observations.copy(), *rest) for observations, *rest in expected]
    first.close()
    second = make(2)
    second.reset()
    second.step(np.array([3, 4]))
    assert isinstance(newest, np.ndarray) and np.array_equal(second.load_state(state), newest)
    finished = []
    for action, (observations, rewards, dones, infos) in zip(actions[260:], expected, strict=True):
        again, again_rewards, again_dones, again_infos = second.step(action)
        assert isinstance(again, np.ndarray) and np.array_equal(again, observations)
        assert again_rewards.tolist() == rewards.tolist() and again_dones.tolist() == dones.tolist()
        for info, other in zip(infos, again_infos, strict=True):
            assert ("episode" in info) == ("episode" in other)
            if "episode" in info:
                assert (info["episode"]["r"], info["episode"]["l"]) == (other["episode"]["r"], other["episode"]["l"])
                assert np.array_equal(info["trace"].actions, other["trace"].actions)
                finished.append(other)
    second.close()
    assert [info["episode"]["l"] for info in finished] == [300]
    settings = GameSettings("gravitar", max_frames=1_200)
    assert replay(settings, finished[0]["trace"]) == (finished[0]["episode"]["r"], 300, False, True)


@pytest.mark.parametrize("obs", ["ram", "pixels"])
def test_an_unknown_game_is_refused(obs: str) -> None:
    with pytest.raises(UserError, match="unknown Atari game 'gravity'; did you mean 'gravitar'"):
        AtariVecEnv("gravity", 1, obs, Protocol(), seed=1)


def eight(workers: int) -> AtariVecEnv:
    return AtariVecEnv(
        "gravitar", HALVED, "ram", Protocol(max_frames=200, life_loss_terminal=True), seed=3, workers=workers
    )


ACTIONS = np.random.default_rng(0).integers(0, 18, (130, HALVED))


@pytest.fixture(scope="module")
def together() -> tuple[Any, list[Any], dict[str, Any]]:
    """Eight environments stepped together, in two worker processes: the first observations, steps and state."""
    whole = eight(workers=2)
    first = whole.reset().copy()
    steps = [whole.step(row) for row in ACTIONS]
    state = whole.state()
    whole.close()
    return first, steps, state


@pytest.mark.parametrize("workers", [1, 2, 5, 8])
def test_environments_stepped_in_halves_are_those_stepped_together(
    together: tuple[Any, list[Any], dict[str, Any]], workers: int
) -> None:
    begun, expected_steps, expected_state = together
    halves, actions = eight(workers), ACTIONS
    first, second = halves.parts
    assert (first, second) == (slice(0, 4), slice(4, 8))
    assert isinstance(halves.action_space, spaces.Discrete) and halves.action_space.n == 18
    assert np.array_equal(begun, halves.reset())
    # The second half is a step behind, so that both are under way at once.
    steps: dict[str, list[Any]] = {"first": [], "second": []}
    halves.send(first, actions[0][first])
    for step, row in enumerate(actions):
        halves.send(second, row[second])
        steps["first"].append(halves.receive(first))
        if step + 1 < len(actions):
            halves.send(first, actions[step + 1][first])
        steps["second"].append(halves.receive(second))
    assert sum("episode" in info for step in expected_steps for info in step[3]) >= 2 * HALVED
    for expected, one, other in zip(expected_steps, steps["first"], steps["second"], strict=True):
        for place in range(3):
            assert np.array_equal(expected[place], np.concatenate([one[place], other[place]]))
        for mine, theirs in zip([*one[3], *other[3]], expected[3], strict=True):
            assert mine.keys() == theirs.keys()
            assert np.array_equal(mine.get("terminal_observation", 0), theirs.get("terminal_observation", 0))
            if "trace" in theirs:
                assert np.array_equal(mine["trace"].actions, theirs["trace"].actions)
                assert mine["trace"].seed == theirs["trace"].seed
    assert halves.state() == expected_state
    halves.close()
