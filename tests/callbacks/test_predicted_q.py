"""Mean predicted values of held-out states: against networks whose values are known, and over a resumed training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO

from callbacks.predicted_q import PredictedQCallback, mean_predicted_q
from common.errors import UserError
from common.npz import unpack_arrays
from common.run_folder import RunFolder
from rl.options import TrainSettings
from rl.settings import resolve
from rl.train import train_new, train_on

STATES = np.array([[1, 0, 0, 0], [0, 2, 0, 0]], np.float32)


def linear(model: Any, network: Any, weights: list[list[float]]) -> Any:
    """The model, whose network now is a matrix."""
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weights))
        network.bias.zero_()
    return model


def test_the_largest_q_of_each_state_is_averaged() -> None:
    model = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": []}, buffer_size=1)
    linear(model, model.policy.q_net.q_net[-1], [[1, -1, 0, 0], [-3, 2, 0, 0]])
    assert mean_predicted_q(model, STATES) == pytest.approx((1 + 4) / 2)  # max(1, -3), max(-2, 4)


def test_a_q_of_qrdqn_is_the_mean_of_its_quantiles() -> None:
    kwargs = {"net_arch": [], "n_quantiles": 2}
    model = QRDQN("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs, buffer_size=1)
    # Rows: the first quantile of each action, then the second.
    linear(model, model.policy.quantile_net.quantile_net[-1], [[1, 0, 0, 0], [0, 5, 0, 0], [3, 0, 0, 0], [0, 1, 0, 0]])
    assert mean_predicted_q(model, STATES) == pytest.approx((2 + 6) / 2)


def test_actor_critics_have_their_value() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": []})
    linear(model, model.policy.value_net, [[4, 1, 0, 0]])
    assert mean_predicted_q(model, STATES) == pytest.approx((4 + 2) / 2)


def test_in_a_script_of_ones_own(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=20, seed=1, device="cpu", buffer_size=200)
    callback = PredictedQCallback(tmp_path / "q.csv", states=3, every=40, spacing=5)
    model.learn(100, callback=callback)
    assert [steps for steps, _ in callback.means] == [40, 80]
    lines = (tmp_path / "q.csv").read_text().splitlines()
    assert lines[0] == "timesteps,mean_q" and len(lines) == 3
    kept = unpack_arrays((tmp_path / "q-states.npz").read_bytes())["states"]
    assert kept.shape == (3, 4) and np.array_equal(kept, np.stack(callback.states))
    assert (tmp_path / "q.png").read_bytes()[1:4] == b"PNG"
    with pytest.raises(UserError, match="at least 1"):
        PredictedQCallback(tmp_path / "other.csv", states=0)


def test_a_resumed_training_has_the_same_rows(tmp_path: Path) -> None:
    user = TrainSettings(
        preset="smoke", algo="dqn", timesteps=1_200, predicted_q=500, runs=tmp_path, video_every=0, threads=1,
        set=("policy_kwargs=dict(net_arch=[8])", "learning_starts=200"),
    )  # fmt: skip
    settings = resolve(user)
    recorders = [
        PredictedQCallback(tmp_path / f"{name}.csv", states=30, every=200) for name in ("whole", "parts", "on")
    ]
    for callback in recorders:
        callback.key = "a second one"  # the run has one of its own
    train_new(settings, tmp_path / "whole", [recorders[0]], quiet=True)
    train_new(settings, tmp_path / "parts", [recorders[1]], pause_at=168, quiet=True)
    recorders[2].path = tmp_path / "parts.csv"
    assert 0 < len(recorders[1].states) < 30  # stopped before all were there
    train_on(settings, RunFolder(tmp_path / "parts"), [recorders[2]], quiet=True)
    for name in ("{}.csv", "{}-states.npz", "{}/predicted-q-states.npz"):
        pair = [(tmp_path / name.format(run)).read_bytes() for run in ("whole", "parts")]
        assert pair[0] == pair[1], name
    assert [steps for steps, _ in recorders[2].means] == [200, 400, 600, 800, 1_000, 1_200]
