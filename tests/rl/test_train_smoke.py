"""Smoke tests: a training of a few hundred steps in every kind of environment ends without an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.traces import read_episodes
from rl.options import TrainSettings
from rl.train import train

CONFIG = """
default:
  policy: MlpPolicy
  n_timesteps: 256
  n_envs: 2
  n_steps: 64
  batch_size: 64
"""
SMALL_CNN = "policy_kwargs=dict(features_extractor_kwargs=dict(features_dim=8))"


@pytest.mark.parametrize(
    "flags",
    [
        {"obs": "pixels", "n_envs": 2, "timesteps": 64, "set": ("n_steps=16", "batch_size=32", SMALL_CNN)},
        {"obs": "pixels", "algo": "qrdqn", "n_envs": 2, "timesteps": 64,
         "set": ("buffer_size=200", "learning_starts=16", "batch_size=4", "policy_kwargs=dict(n_quantiles=4)")},
        {"obs": "ram", "algo": "dqn", "n_envs": 2, "timesteps": 64,
         "set": ("buffer_size=200", "learning_starts=16", "batch_size=4", "policy_kwargs=dict(net_arch=[8])")},
        {"obs": "ram", "algo": "qrdqn", "n_envs": 2, "timesteps": 64,
         "set": ("buffer_size=200", "learning_starts=16", "batch_size=4", "replay_buffer_kwargs=dict(alpha=0.6)",
                 "policy_kwargs=dict(net_arch=[8])")},
        {"obs": "pixels", "algo": "qrdqn", "n_envs": 2, "timesteps": 48, "precision": "bfloat16",
         "set": ("buffer_size=200", "learning_starts=16", "batch_size=4",
                 "policy_kwargs=dict(n_quantiles=4, features_extractor_class=rl.algorithms.features.ImpalaCNN)")},
        {"env": "Gravitar-v0", "obs": "pixels", "n_envs": 1, "timesteps": 32,
         "set": ("n_steps=16", "batch_size=16", SMALL_CNN)},
    ],
    ids=["ppo-pixels", "qrdqn-pixels", "dqn-ram", "prioritised-qrdqn-ram", "impala-bfloat16-qrdqn-pixels",
         "ppo-gravitar-v0-pixels"],
)  # fmt: skip
def test_smoke_atari(
    tmp_path: Path,
    flags: dict[str, str | int | tuple[str, str, str]]
    | dict[str, str | int | tuple[str, str, str, str]]
    | dict[str, str | int | tuple[str, str, str, str, str]],
) -> None:
    train(TrainSettings(device="cpu", runs=tmp_path, name="run", video_every=0, **flags))
    assert (tmp_path / "gravitar" / "run" / "settings.yml").exists()


def test_smoke_any_other_environment(tmp_path: Path) -> None:
    config = tmp_path / "mine.yml"
    config.write_text(CONFIG)
    train(TrainSettings(env="CartPole-v1", device="cpu", runs=tmp_path, name="run", config=config))
    # 128 steps of random play are several falls of each pole.
    assert len(list(read_episodes(tmp_path / "gravitar" / "run" / "traces" / "episodes.jsonl"))) >= 4
