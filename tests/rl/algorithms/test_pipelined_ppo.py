"""PPO that acts for one half of the environments while the other steps, against Stable-Baselines3's own.

Credits: Stable-Baselines3's ``PPO``, the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecFrameStack

from rl.algorithms.pipelined_ppo import PipelinedPPO
from rl.envs.atari_env import HALVED, AtariVecEnv
from rl.envs.protocols import Protocol


class Tape(BaseCallback):
    """Records what a callback sees: steps counted, episodes that ended, and the rollouts' starts and ends."""

    def __init__(self, stop_after_episodes: int | None = None) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.episodes = 0
        self.stop_after_episodes = stop_after_episodes

    def _on_rollout_start(self) -> None:
        self.events.append("start")

    def _on_rollout_end(self) -> None:
        self.events.append("end")

    def _on_step(self) -> bool:
        ends = [(index, info["episode"]["r"]) for index, info in enumerate(self.locals["infos"]) if "episode" in info]
        self.episodes += len(ends)
        self.events.append((self.num_timesteps, ends, self.locals["dones"].tolist()))
        return self.stop_after_episodes is None or self.episodes < self.stop_after_episodes


_made: dict[tuple[int, bool], AtariVecEnv] = {}


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _made:
        _made.popitem()[1].close()


def make_env(num_envs: int, life_loss: bool) -> AtariVecEnv:
    """Short episodes, some truncated (their last value is estimated) and with lives lost.

    Games take long to load, so it may be one that was used before; it begins anew.
    """
    if (num_envs, life_loss) not in _made:
        protocol = Protocol(max_frames=150, life_loss_terminal=life_loss, noop_max=30)
        _made[num_envs, life_loss] = AtariVecEnv("gravitar", num_envs, "ram", protocol, seed=5, workers=2)
    env = _made[num_envs, life_loss]
    env.seed(5)  # the model before has seeded it with another number, so that its episodes are counted from 0 again
    env.reset()
    return env


def make_model(algorithm: Any, env: Any) -> Any:
    return algorithm(
        "MlpPolicy", env, n_steps=16, batch_size=12, n_epochs=2, policy_kwargs={"net_arch": [16]}, seed=1, device="cpu"
    )


def learn(
    algorithm: Any, steps: int, stop_after_episodes: int | None = None, num_envs: int = 3, life_loss: bool = True
) -> tuple[Any, Tape, dict[str, Any]]:
    env = make_env(num_envs, life_loss)
    model = make_model(algorithm, env)
    tape = Tape(stop_after_episodes)
    model.learn(steps, callback=tape)
    state = env.state()
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


def test_halves_teach_the_same_up_to_rounding() -> None:
    (theirs, their_tape, their_state), (ours, tape, state) = (
        learn(algorithm, 1_280, num_envs=HALVED) for algorithm in (PPO, PipelinedPPO)
    )
    assert tape.events == their_tape.events
    assert sum(len(event[1]) for event in tape.events if isinstance(event, tuple)) >= 2 * HALVED
    assert state == their_state
    assert np.array_equal(ours._last_obs, theirs._last_obs)
    for one, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("num_envs", [3, HALVED])
@pytest.mark.parametrize("episodes", [1, 4])
def test_stopping_at_an_episodes_end_leaves_no_step_under_way(episodes: int, num_envs: int) -> None:
    (theirs, their_tape, their_state), (ours, tape, state) = (
        learn(algorithm, 1_280, episodes, num_envs) for algorithm in (PPO, PipelinedPPO)
    )
    assert tape.events == their_tape.events
    assert state == their_state and ours.num_timesteps == theirs.num_timesteps < 1_280


def test_a_step_that_a_half_has_begun_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    undone = []
    load_state = AtariVecEnv.load_state

    def load(env: AtariVecEnv, state: dict[str, Any]) -> np.ndarray:
        undone.append(state)
        return load_state(env, state)

    monkeypatch.setattr(AtariVecEnv, "load_state", load)
    for episodes in range(HALVED + 1, 2 * HALVED):  # with fewer no half was a step ahead
        ours, _, state = learn(PipelinedPPO, 1_280, episodes, HALVED, life_loss=False)
        if undone:
            _, _, their_state = learn(PPO, 1_280, episodes, HALVED, life_loss=False)
            assert state == their_state
            assert np.array_equal(ours._last_obs, make_env(HALVED, life_loss=False).load_state(their_state))
            return
    pytest.fail("no episode ended in the second half alone")


def test_other_environments_are_refused() -> None:
    env = VecFrameStack(make_env(2, life_loss=False), 2)
    with pytest.raises(TypeError, match="PipelinedPPO needs an EpisodeVecEnv, not VecFrameStack; use PPO"):
        make_model(PipelinedPPO, env).learn(32)


def test_an_update_in_parts_is_the_same_up_to_rounding() -> None:
    def train(parts: int) -> dict[str, Any]:
        env = make_env(3, life_loss=True)
        model = PipelinedPPO("MlpPolicy", env, n_steps=16, batch_size=12, n_epochs=2, seed=1, device="cpu")
        model.parts = parts
        model.learn(48)
        return model.policy.state_dict()

    whole, divided = train(1), train(3)
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(divided[name], value) for name, value in whole.items())


@pytest.mark.parametrize("share", [True, False])
def test_what_an_update_evaluates_is_what_the_policy_does(share: bool) -> None:
    env = make_env(3, life_loss=True)
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


def test_the_last_update_has_the_schedule_of_one_update_left() -> None:
    env = make_env(3, life_loss=True)
    model = make_model(PipelinedPPO, env)
    shares: list[float] = []

    def learning_rate(share: float) -> float:
        shares.append(share)
        return 1e-4

    model.lr_schedule = learning_rate
    model.schedules = "updates"
    model.learn(100)  # three rollouts of 48 steps
    # PPO asks twice at each update: for its log and for the optimiser.
    assert shares == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
