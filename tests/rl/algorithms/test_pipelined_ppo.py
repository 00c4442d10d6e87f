"""PPO that looks at one half of the games while the other plays, against Stable-Baselines3's own.

Credits: Stable-Baselines3's ``PPO``, the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from rl.algorithms.pipelined_ppo import PipelinedPPO
from rl.envs.atari_env import HALVED, AtariVecEnv
from rl.envs.protocols import Protocol


class Tape(BaseCallback):
    """What a callback sees: steps counted, games that ended, and the rollouts' beginnings and ends."""

    def __init__(self, stop_after_games: int | None = None) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.games = 0
        self.stop_after_games = stop_after_games

    def _on_rollout_start(self) -> None:
        self.events.append("start")

    def _on_rollout_end(self) -> None:
        self.events.append("end")

    def _on_step(self) -> bool:
        ends = [(index, info["episode"]["r"]) for index, info in enumerate(self.locals["infos"]) if "episode" in info]
        self.games += len(ends)
        self.events.append((self.num_timesteps, ends, self.locals["dones"].tolist()))
        return self.stop_after_games is None or self.games < self.stop_after_games


def games_of(count: int, life_loss: bool) -> AtariVecEnv:
    """Short games, some cut (their last value is estimated) and with lives lost."""
    protocol = Protocol(max_frames=150, life_loss_terminal=life_loss, noop_max=30)
    return AtariVecEnv("gravitar", count, "ram", protocol, seed=5, workers=2)


def learn(
    algorithm: Any, steps: int, stop_after_games: int | None = None, games: int = 3, life_loss: bool = True
) -> tuple[Any, Tape, dict[str, Any]]:
    env = games_of(games, life_loss)
    model = algorithm(
        "MlpPolicy", env, n_steps=16, batch_size=12, n_epochs=2, policy_kwargs={"net_arch": [16]}, seed=1, device="cpu"
    )
    tape = Tape(stop_after_games)
    model.learn(steps, callback=tape)
    state = env.state()
    env.close()
    return model, tape, state


def test_callbacks_and_weights_are_those_of_stable_baselines3() -> None:
    (theirs, their_tape, their_state), (ours, tape, state) = learn(PPO, 480), learn(PipelinedPPO, 480)
    assert tape.events == their_tape.events
    assert sum(len(event[1]) for event in tape.events if isinstance(event, tuple)) >= 9
    assert state == their_state
    assert ours.num_timesteps == theirs.num_timesteps == 480
    assert np.array_equal(ours._last_obs, theirs._last_obs)
    for one, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    mine, reference = ours.ep_info_buffer, theirs.ep_info_buffer
    assert [(info["r"], info["l"]) for info in mine] == [(info["r"], info["l"]) for info in reference]


def test_games_in_halves_teach_the_same_up_to_rounding() -> None:
    (theirs, their_tape, their_state), (ours, tape, state) = (
        learn(algorithm, 1_280, games=HALVED) for algorithm in (PPO, PipelinedPPO)
    )
    assert tape.events == their_tape.events
    assert sum(len(event[1]) for event in tape.events if isinstance(event, tuple)) >= 2 * HALVED
    assert state == their_state
    assert np.array_equal(ours._last_obs, theirs._last_obs)
    for one, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("count", [3, HALVED])
@pytest.mark.parametrize("games", [1, 4])
def test_stopping_at_a_games_end_leaves_nothing_under_way(games: int, count: int) -> None:
    (theirs, their_tape, their_state), (ours, tape, state) = (
        learn(algorithm, 1_280, games, count) for algorithm in (PPO, PipelinedPPO)
    )
    assert tape.events == their_tape.events
    assert state == their_state and ours.num_timesteps == theirs.num_timesteps < 1_280


def test_a_half_that_went_on_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_back = []
    load_state = AtariVecEnv.load_state

    def take_back(env: AtariVecEnv, state: dict[str, Any]) -> np.ndarray:
        taken_back.append(state)
        return load_state(env, state)

    monkeypatch.setattr(AtariVecEnv, "load_state", take_back)
    for games in range(1, 2 * HALVED):
        ours, _, state = learn(PipelinedPPO, 1_280, games, HALVED, life_loss=False)
        if taken_back:
            _, _, their_state = learn(PPO, 1_280, games, HALVED, life_loss=False)
            assert state == their_state
            assert np.array_equal(ours._last_obs, games_of(HALVED, life_loss=False).load_state(their_state))
            return
    pytest.fail("no game ended in the second half alone")


def test_an_update_in_parts_is_the_same_up_to_rounding() -> None:
    def train(parts: int) -> dict[str, Any]:
        env = games_of(3, life_loss=True)
        model = PipelinedPPO("MlpPolicy", env, n_steps=16, batch_size=12, n_epochs=2, seed=1, device="cpu")
        model.parts = parts
        model.learn(48)
        env.close()
        return model.policy.state_dict()

    whole, divided = train(1), train(3)
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(divided[name], value) for name, value in whole.items())


@pytest.mark.parametrize("share", [True, False])
def test_what_an_update_evaluates_is_what_the_policy_does(share: bool) -> None:
    env = games_of(3, life_loss=True)
    model = PipelinedPPO("MlpPolicy", env, policy_kwargs={"share_features_extractor": share}, seed=1, device="cpu")
    observations = torch.randint(0, 256, (10, 128), dtype=torch.uint8)
    actions = torch.arange(10)
    expected = model.policy.evaluate_actions(observations, actions)
    for ours, theirs in zip(model._evaluate_actions(observations, actions), expected, strict=True):
        assert ours is not None and theirs is not None and torch.equal(ours, theirs)
    model.parts = 2
    for ours, theirs in zip(model._evaluate_actions(observations, actions), expected, strict=True):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours, theirs)
    env.close()
