"""Self-imitation: returns and loss by hand, what is kept, and a training with it that resumes exactly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer

from common.errors import UserError
from rl.algorithms.self_imitation import (
    SelfImitation,
    SelfImitationSettings,
    discounted_returns,
    self_imitation_loss,
)
from rl.options import ResumeSettings, TrainSettings
from rl.settings import resolve
from rl.train import resume, train_new

BOX = spaces.Box(0, 1, (1,), np.float32)


def test_returns_by_hand() -> None:
    returns = discounted_returns(np.array([1.0, 0.0, 4.0, -2.0]), 0.5)
    assert returns.tolist() == [1 + 0.25 * 3, 0.5 * 3, 4 - 1, -2]


@pytest.fixture(scope="module")
def model() -> PPO:
    """Two actions with the probabilities 3/4 and 1/4, and the value 1, whatever is observed."""
    env = gym.make("CartPole-v1")
    model = PPO("MlpPolicy", env, device="cpu", policy_kwargs={"net_arch": [4]})
    with torch.no_grad():
        for layer, bias in ((model.policy.action_net, [math.log(3), 0.0]), (model.policy.value_net, [1.0])):
            assert isinstance(layer, torch.nn.Linear)
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor(bias))
    return model


def test_the_loss_by_hand(model: PPO) -> None:
    actions, returns = torch.tensor([0, 1, 1]), torch.tensor([3.0, 2.0, -5.0])
    weights = torch.tensor([1.0, 0.5, 1.0])
    loss, gains = self_imitation_loss(model, torch.zeros(3, 4), actions, returns, weights, value_coef=0.1)
    # The returns are 2 and 1 above the value; the third is below it and teaches nothing.
    policy = (2 * math.log(4 / 3) + 0.5 * 1 * math.log(4)) / 3
    value = (1 * 4 + 0.5 * 1) / 3 / 2
    assert gains.tolist() == [2.0, 1.0, 0.0]
    assert loss.item() == pytest.approx(policy + 0.1 * value, rel=1e-6)
    model.policy.zero_grad()
    loss.backward()
    # d(value part) / d(value) = -0.1 (1 x 2 + 0.5 x 1) / 3: the policy's part has no gradient through the value.
    assert model.policy.value_net.bias.grad is not None
    assert model.policy.value_net.bias.grad.item() == pytest.approx(-0.1 * 2.5 / 3, rel=1e-6)


def rollout(rewards: list[list[float]], starts: list[list[int]], first: int) -> RolloutBuffer:
    """A full rollout whose observations count the steps from ``first`` on."""
    steps, count = np.shape(rewards)
    buffer = RolloutBuffer(steps, BOX, spaces.Discrete(9), n_envs=count)
    for step in range(steps):
        numbers = np.arange(count) + 10 * (first + step)
        buffer.add(
            numbers[:, None].astype(np.float32), numbers[:, None] % 9, np.array(rewards[step]), np.array(starts[step]),
            torch.zeros(count), torch.zeros(count),
        )  # fmt: skip
    return buffer


def test_episodes_go_over_rollouts_and_only_good_ones_are_kept() -> None:
    memory = SelfImitation(SelfImitationSettings(capacity=100), gamma=0.5, seed=1)
    memory.add(rollout([[0, 1], [0, 0], [0, 0]], [[1, 1], [0, 0], [0, 1]], 0), np.array([False, True]))
    # Environment 1 ended two episodes: of the first, steps 0 and 1, only step 0 came before its reward; the second had
    # none. Environment 0 goes on.
    arrays = memory.arrays()
    assert arrays["observations"][:, 0].tolist() == [1.0]
    assert arrays["returns"].tolist() == [1.0]
    memory.add(rollout([[0, 0], [8, 0]], [[0, 1], [0, 0]], 3), np.array([True, False]))
    arrays = memory.arrays()
    assert arrays["observations"][:, 0].tolist() == [1.0, 0.0, 10.0, 20.0, 30.0, 40.0]
    assert arrays["actions"].tolist() == [1, 0, 1, 2, 3, 4]
    assert arrays["returns"].tolist() == [1.0, 0.5, 1.0, 2.0, 4.0, 8.0]


def test_the_oldest_give_way() -> None:
    memory = SelfImitation(SelfImitationSettings(capacity=3), gamma=1.0, seed=1)
    for first, reward in ((0, 1.0), (2, 2.0)):
        memory.add(rollout([[0.0], [reward]], [[1], [0]], first), np.array([True]))
    assert sorted(memory.arrays()["returns"].tolist()) == [1.0, 2.0, 2.0]


def test_what_is_surprisingly_good_becomes_likelier(model: PPO) -> None:
    settings = SelfImitationSettings(updates=20, batch_size=8, coef=1.0, capacity=50)
    memory = SelfImitation(settings, gamma=1.0, seed=1)
    assert math.isnan(memory.train(model)), "nothing to imitate yet"
    count = 8
    buffer = RolloutBuffer(count, spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), n_envs=1)
    for step in range(count):  # action 1 throughout, the rarer one, and 5 points at the end
        buffer.add(
            np.zeros((1, 4), np.float32), np.array([[1]]), np.array([5.0 * (step == count - 1)]), np.array([step == 0]),
            torch.zeros(1), torch.zeros(1),
        )  # fmt: skip
    memory.add(buffer, np.array([True]))
    assert memory.train(model) == 1.0
    probabilities = model.policy.get_distribution(torch.zeros(1, 4)).distribution.probs  # type: ignore[union-attr]
    # Adam's first steps are of the learning rate, 3e-4: 20 of them move each of the two logits by 0.006.
    assert probabilities[0, 1].item() == pytest.approx(0.25 + 0.25 * 0.75 * 0.012, abs=2e-4)


def flags(runs: Path, **changes: Any) -> TrainSettings:
    fields: dict[str, Any] = {  # a game in which points come at once
        "preset": "smoke", "env": "ALE/MsPacman-v5", "self_imitation": 2, "life_loss": True, "timesteps": 1_024,
        "n_envs": 2, "runs": runs, "video_every": 0,
    }  # fmt: skip
    return TrainSettings(**{**fields, **changes})


def test_a_training_with_it_resumes_exactly(tmp_path: Path) -> None:
    train_new(resolve(flags(tmp_path)), tmp_path / "whole")
    train_new(resolve(flags(tmp_path)), tmp_path / "parts", pause_at=512)
    kept = np.load(tmp_path / "parts/checkpoints/step-000000512/self-imitation.npz")["returns"]
    assert len(kept) > 0
    resume(ResumeSettings(tmp_path / "parts"))
    for name in ("policy.safetensors", "optimizer.pt", "self-imitation.npz", "random.json"):
        pair = [tmp_path / run / "checkpoints/step-000001024" / name for run in ("whole", "parts")]
        assert pair[0].read_bytes() == pair[1].read_bytes(), name
    train_new(resolve(flags(tmp_path, self_imitation=0)), tmp_path / "without")
    without = tmp_path / "without/checkpoints/step-000001024/policy.safetensors"
    assert without.read_bytes() != (tmp_path / "whole/checkpoints/step-000001024/policy.safetensors").read_bytes()


@pytest.mark.parametrize("changes", [{"algo": "qrdqn"}, {"obs": "pixels"}])
def test_other_trainings_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--self-imitation is for PPO on an Atari game's RAM"):
        resolve(flags(tmp_path, **changes))
