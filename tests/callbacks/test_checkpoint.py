"""Checkpoints of real models: which are kept, what is in them, and that the weights come back bit by bit.

Credits: Stable-Baselines3 and sb3-contrib, whose models are stored; safetensors, whose files are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import safetensors.torch
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.checkpoint import WEIGHTS, CheckpointCallback
from callbacks.marking_log import MarkingLogCallback
from common.checkpoints import damage, list_checkpoints
from common.errors import UserError
from common.weights import load_weights


def state(checkpoint: Path) -> dict[str, Any]:
    """The content of ``state.json`` without the callbacks' states."""
    content = json.loads((checkpoint / "state.json").read_text())
    return {key: content[key] for key in ("timesteps", "episodes", "mean_score", "games_in_mean")}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_ones_and_the_best_are_kept(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    # A game ends with each rollout of 4 steps. Means of three: -, -, 20, 36.7, 30, 20, 36.7 (not better), 33.3.
    scores = [10, 20, 30, 60, 0, 0, 110, -10]
    callback = CheckpointCallback(tmp_path, every=4, keep=2, window=3)
    model = ppo(tape_env([(4, float(score)) for score in scores]), n_steps=4)
    model.learn(32, callback=callback)
    assert names(tmp_path) == ["best-000000016", "step-000000028", "step-000000032"]
    assert state(tmp_path / "best-000000016") == {
        "timesteps": 16, "episodes": 4, "mean_score": pytest.approx(110 / 3), "games_in_mean": 3
    }  # fmt: skip
    assert state(tmp_path / "step-000000028")["mean_score"] == pytest.approx(110 / 3)
    assert state(tmp_path / "step-000000032") == {
        "timesteps": 32, "episodes": 8, "mean_score": pytest.approx(100 / 3), "games_in_mean": 3
    }  # fmt: skip
    assert all(damage(path) is None for path in tmp_path.iterdir())


def test_one_before_the_first_step_then_every_so_many_between_two_updates_and_one_at_the_end(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    # Rollouts end at 8, 16, 24, ...; 12 steps after 0 is 16, after 16 is 32, after 32 is 48; 56 is the end.
    callback = CheckpointCallback(tmp_path, every=12, keep=10)
    ppo(tape_env([], []), n_steps=4).learn(56, callback=callback)
    assert names(tmp_path) == [f"step-{step:09d}" for step in (0, 16, 32, 48, 56)]
    # No game has finished, so that there is no mean and no best.
    assert state(tmp_path / "step-000000056") == {
        "timesteps": 56, "episodes": 0, "mean_score": None, "games_in_mean": 0
    }  # fmt: skip


def test_it_is_written_for_dqn_as_well(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], dqn: Callable[..., DQN]
) -> None:
    dqn(tape_env([])).learn(30, callback=CheckpointCallback(tmp_path, every=10, keep=10))
    assert names(tmp_path) == [f"step-{step:09d}" for step in (0, 10, 20, 30)]


def test_learning_on_goes_on(tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]) -> None:
    callback = CheckpointCallback(tmp_path, every=8, keep=10)
    model = ppo(tape_env([]), n_steps=4)
    model.learn(12, callback=callback)
    model.learn(12, callback=callback, reset_num_timesteps=False)
    assert names(tmp_path) == [f"step-{step:09d}" for step in (0, 8, 12, 20, 24)]


def test_what_the_callbacks_remember_is_in_it(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    def callbacks(folder: Path) -> tuple[MarkingLogCallback, CheckpointCallback]:
        log = MarkingLogCallback(folder / "gravitar-log.txt", every=4, progress_every=0)
        return log, CheckpointCallback(folder / "checkpoints", every=10**6, window=2, watched=[log])

    tape = [(4, float(score)) for score in (10, 20, 30, 40, 50, 60)]
    log, saver = callbacks(tmp_path)
    ppo(tape_env(tape[:3]), n_steps=4).learn(12, callback=[log, saver])
    # What a killed process wrote after the checkpoint is cut off.
    with (tmp_path / "gravitar-log.txt").open("a") as file:
        file.write("marking, episode: 4, score: 0.0, mean_sc")
    # Another process goes on: the marking window is open since game 1, the best mean of two games is that of 20 and 30.
    again, new_saver = callbacks(tmp_path)
    new_saver.load_states(list_checkpoints(tmp_path / "checkpoints")[-1])
    assert new_saver.best == 25.0
    ppo(tape_env(tape[3:]), n_steps=4).learn(12, callback=[again, new_saver])
    assert (tmp_path / "gravitar-log.txt").read_text() == (
        "marking, episode: 0, score: 10.0, mean_score: 10.00, std_score: 0.00\n"
        "marking, episode: 4, score: 50.0, mean_score: 35.00, std_score: 11.18\n"
    )


def test_two_watched_callbacks_with_one_key_are_refused_until_one_has_a_key_of_its_own(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    logs = [MarkingLogCallback(tmp_path / name, every=2, progress_every=0) for name in ("first.txt", "second.txt")]
    with pytest.raises(UserError, match=r"key 'MarkingLogCallback'.*callback\.key = 'MarkingLogCallback-2'") as error:
        CheckpointCallback(tmp_path / "checkpoints", every=10**6, watched=logs)
    assert "\n" not in str(error.value)
    logs[1].key = "MarkingLogCallback-2"
    saver = CheckpointCallback(tmp_path / "checkpoints", every=10**6, watched=logs)
    ppo(tape_env([(4, 10.0), (4, 20.0)]), n_steps=4).learn(8, callback=[*logs, saver])
    states = json.loads((list_checkpoints(tmp_path / "checkpoints")[-1] / "state.json").read_text())["callbacks"]
    expected = {"n_episodes": 2, "bytes": 69, "window": [20.0]}
    assert states["MarkingLogCallback"] == states["MarkingLogCallback-2"] == expected


class Shapes(gymnasium.Env):
    """Random observations of a given space, only there to train on something."""

    action_space = spaces.Discrete(3)

    def __init__(self, space: spaces.Box) -> None:
        self.observation_space = space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), float(action), False, False, {}


RAM = spaces.Box(0, 255, (8,), np.uint8)
PIXELS = spaces.Box(0, 255, (1, 36, 36), np.uint8)
ON_POLICY = {"n_steps": 16, "batch_size": 16, "n_epochs": 1}
OFF_POLICY = {"buffer_size": 100, "learning_starts": 8, "batch_size": 4}


@pytest.mark.parametrize(
    ("algorithm", "policy", "space", "arguments"),
    [
        (PPO, "MlpPolicy", RAM, {**ON_POLICY, "policy_kwargs": {"net_arch": [8]}}),
        # Policy and value of a convolutional PPO share one extractor, which is in the weights under three names.
        (PPO, "CnnPolicy", PIXELS, {**ON_POLICY, "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 8}}}),
        (DQN, "MlpPolicy", RAM, {**OFF_POLICY, "policy_kwargs": {"net_arch": [8]}}),
        (QRDQN, "CnnPolicy", PIXELS, {**OFF_POLICY, "policy_kwargs": {"n_quantiles": 5}}),
    ],
    ids=["ppo", "ppo-pixels", "dqn", "qrdqn-pixels"],
)
def test_weights_come_back_bit_by_bit(
    tmp_path: Path, algorithm: type[PPO] | type[DQN], policy: str, space: spaces.Box, arguments: dict[str, Any]
) -> None:
    model = algorithm(policy, Shapes(space), seed=1, device="cpu", **arguments)
    callback = CheckpointCallback(tmp_path, every=10**6)
    model.learn(32, callback=callback)
    checkpoint = list_checkpoints(tmp_path)[-1]
    saved = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(32, reset_num_timesteps=False)
    assert any(not tensor.equal(saved[name]) for name, tensor in model.policy.state_dict().items())

    other = algorithm(policy, Shapes(space), seed=2, device="cpu", **arguments)
    load_weights(other.policy, checkpoint / WEIGHTS)
    loaded = other.policy.state_dict()
    assert loaded.keys() == saved.keys()
    for name, tensor in saved.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    observation = space.sample()
    load_weights(model.policy, checkpoint / WEIGHTS)
    assert model.predict(observation, deterministic=True)[0] == other.predict(observation, deterministic=True)[0]
    # Anybody with safetensors alone can read the file.
    assert safetensors.torch.load_file(checkpoint / "policy.safetensors").keys() <= saved.keys()


def test_weights_of_another_shape_are_refused(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    model = ppo(tape_env([]))
    model.learn(8, callback=CheckpointCallback(tmp_path, every=8))
    checkpoint = list_checkpoints(tmp_path)[-1]
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(ppo(tape_env([]), policy_kwargs={"net_arch": [3]}).policy, checkpoint / WEIGHTS)


@pytest.mark.parametrize("name", ["policy.safetensors", "state.json", "manifest.json"])
def test_a_flipped_bit_is_noticed(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO], name: str
) -> None:
    ppo(tape_env([])).learn(8, callback=CheckpointCallback(tmp_path, every=8))
    checkpoint = list_checkpoints(tmp_path)[-1]
    assert damage(checkpoint) is None
    content = bytearray((checkpoint / name).read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / name).write_bytes(content)
    assert damage(checkpoint) is not None


def test_one_by_time_besides_and_the_best_is_decided_without_it(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 40))  # seconds: a minute has gone by at the second look after each checkpoint
    monkeypatch.setattr("common.checkpoints.time", SimpleNamespace(monotonic=lambda: next(clock)))
    callback = CheckpointCallback(tmp_path, every=1000, keep=100, window=1, minutes=1.0)
    ppo(tape_env([(4, 10.0)] * 8), n_steps=4).learn(32, callback=callback)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        f"step-{step:09d}" for step in (0, 4, 12, 20, 28, 32)
    ]  # fmt: skip
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-000000032"]
