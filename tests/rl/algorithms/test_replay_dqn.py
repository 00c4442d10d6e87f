"""Tests of rl/algorithms/replay_dqn.py and of sampling by priority: by hand, and against Stable-Baselines3 and
sb3-contrib.

Credits: T. Schaul et al. 2016 (arXiv 1511.05952) for the formulae; Stable-Baselines3 and sb3-contrib as the reference.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from sb3_contrib.common.utils import quantile_huber_loss
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from callbacks.budget import StopAtEpisodes
from rl.agent import build_agent
from rl.algorithms.quantiles import quantile_huber_losses
from rl.algorithms.replay_dqn import ReplayDQN, ReplayQRDQN
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.envs.make_env import make_vec_env
from rl.options import TrainSettings
from rl.settings import resolve


def buffer_of(steps: int, size: int = 8, **kwargs: Any) -> FrameReplayBuffer:
    """One environment; step n observes n, does action n % 3, gets reward n and ends nothing."""
    space: spaces.Space[Any] = spaces.Box(0, 255, (1,), np.float32)
    buffer = FrameReplayBuffer(size, space, spaces.Discrete(3), device="cpu", seed=0, **kwargs)
    for step in range(steps):
        add(buffer, step)
    return buffer


def add(buffer: FrameReplayBuffer, step: int) -> None:
    now, after = np.array([[step]]), np.array([[step + 1]])
    buffer.add(now, after, np.array([step % 3]), np.array([float(step)]), np.array([False]), [{}])


def test_weights_by_hand() -> None:
    buffer = buffer_of(4, alpha=0.5, epsilon=1e-9)
    # Priorities 16, 4, 1, 1 to the power 0.5 are 4, 2, 1, 1: probabilities 1/2, 1/4, 1/8, 1/8.
    buffer.update_priorities(np.arange(4), np.array([16.0, -4.0, 1.0, 1.0]))
    drawn = buffer.sample_prioritised(8, beta=0.5)
    rewards = drawn.samples.rewards.ravel().numpy()
    # Eight strata: exactly four of the first, two of the second, one of each other.
    assert rewards.tolist() == [0, 0, 0, 0, 1, 1, 2, 3]
    # (4 P)^-0.5 is sqrt(1/2), 1, sqrt(2), sqrt(2); divided by the largest: 1/2, sqrt(1/2), 1, 1.
    expected = np.array([0.5, np.sqrt(0.5), 1.0, 1.0])[rewards.astype(int)]
    assert drawn.weights.shape == (8, 1) and drawn.weights.dtype == th.float32
    np.testing.assert_allclose(drawn.weights.ravel(), expected, rtol=1e-6)
    np.testing.assert_array_equal(buffer.sample_prioritised(8, beta=0.0).weights, np.ones((8, 1)))


def test_what_is_new_has_the_highest_priority_and_what_is_gone_has_none() -> None:
    buffer = buffer_of(8, alpha=1.0, epsilon=0.5)
    buffer.update_priorities(np.arange(8), np.full(8, 2.5))
    buffer.update_priorities(np.array([5]), np.array([6.5]))
    add(buffer, 8)
    # Step 0 is gone; steps 1 to 7 have 3, but step 5 has 7; step 8 is new and has 7 as well: 6 x 3 + 2 x 7 = 32.
    assert buffer._tree is not None and buffer._tree.total == 32.0
    rewards = buffer.sample_prioritised(3200, beta=1.0).samples.rewards.ravel().numpy().astype(int)
    counts = np.bincount(rewards, minlength=9)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 100 * np.array([3, 3, 3, 3, 7, 3, 3, 7])).max() <= 2


def test_only_what_can_be_read_is_drawn_when_frames_are_stacked() -> None:
    space: spaces.Space[Any] = spaces.Box(0, 255, (4,), np.uint8)
    buffer = FrameReplayBuffer(10, space, spaces.Discrete(3), "cpu", n_envs=2, frame_stack=4, alpha=0.7, seed=0)
    random = np.random.default_rng(0)
    for step in range(40):
        reward = np.full(2, float(step))
        action = np.zeros(2, np.int64)
        buffer.add(np.zeros((2, 4)), np.zeros((2, 4)), action, reward, np.zeros(2, np.bool_), [{}, {}])
        drawn = buffer.sample_prioritised(64, 0.4)
        assert set(drawn.samples.rewards.ravel().int().tolist()) == set(range(max(0, step - 4), step + 1))
        buffer.update_priorities(drawn.indices, random.random(64) + 0.5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one transition"):
        buffer_of(0, alpha=0.5).sample(4)
    with pytest.raises(ValueError, match="buffer with alpha"):
        buffer_of(3).sample_prioritised(4, 0.5)
    with pytest.raises(ValueError, match="finite"):
        buffer_of(3, alpha=0.5).update_priorities(np.array([0]), np.array([np.nan]))
    model = ReplayDQN("MlpPolicy", "CartPole-v1", buffer_size=100, device="cpu")
    with pytest.raises(ValueError, match="ReplayDQN needs a FrameReplayBuffer"):
        model.train(1)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("alpha", [None, 0.0])
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize(("ours", "peer"), [(ReplayDQN, DQN), (ReplayQRDQN, QRDQN)])
def test_without_priorities_it_trains_as_the_parent_does(
    ours: Any, peer: Any, n_steps: int, alpha: float | None, parts: int
) -> None:
    # With alpha 0 all priorities and weights are 1, and the parent draws the same batches from the same kind of buffer.
    models = []
    for algorithm in (ours, peer):
        policy = {"net_arch": [32]} if algorithm in (ReplayDQN, DQN) else {"net_arch": [32], "n_quantiles": 11}
        model = algorithm(
            "MlpPolicy",
            gym.make("CartPole-v1"),
            learning_rate=1e-3,
            learning_starts=50,
            train_freq=2,
            target_update_interval=40,
            gamma=0.9,
            policy_kwargs=policy,
            buffer_size=200,
            replay_buffer_class=FrameReplayBuffer,
            replay_buffer_kwargs={"alpha": alpha, "n_steps": n_steps, "gamma": 0.9},
            seed=5,
            device="cpu",
        )
        model.parts = parts  # of which the parent knows nothing
        models.append(model.learn(200))
    for one, other in zip(*(model.policy.parameters() for model in models), strict=True):
        th.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)
    assert models[0].logger.name_to_value["train/loss"] == pytest.approx(
        models[1].logger.name_to_value["train/loss"], rel=1e-5
    )


def test_quantile_losses_and_gradients_equal_contribs() -> None:
    generator = th.Generator().manual_seed(0)
    predictions, targets = (3 * th.randn(6, 7, generator=generator) for _ in range(2))
    mine, theirs = (predictions.clone().requires_grad_() for _ in range(2))
    losses = quantile_huber_losses(mine, targets)
    assert losses.shape == (6,)
    expected = quantile_huber_loss(theirs, targets, sum_over_quantiles=True)
    th.testing.assert_close(losses.mean(), expected)
    losses.mean().backward()
    expected.backward()
    th.testing.assert_close(mine.grad, theirs.grad)
    for one in range(6):
        alone = quantile_huber_loss(predictions[one : one + 1], targets[one : one + 1], sum_over_quantiles=True)
        th.testing.assert_close(losses[one], alone)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e7])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_quantile_losses_of_large_and_of_small_differences(scale: float, offset: float) -> None:
    generator = th.Generator().manual_seed(3)
    predictions, targets = (th.randn((8, 50), generator=generator) * scale + offset for _ in range(2))
    mine = predictions.clone().requires_grad_()
    theirs = predictions.double().requires_grad_()
    losses = quantile_huber_losses(mine, targets)
    losses.mean().backward()
    expected = quantile_huber_loss(theirs, targets.double(), sum_over_quantiles=True)
    expected.backward()
    assert losses.mean().item() == pytest.approx(expected.item(), rel=1e-5)
    assert mine.grad is not None and theirs.grad is not None
    th.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-5, atol=1e-9)


def test_a_target_that_is_no_number_is_not_hidden() -> None:
    predictions = th.zeros(1, 4, requires_grad=True)
    quantile_huber_losses(predictions, th.tensor([[1.0, float("nan"), 2.0]])).sum().backward()
    assert predictions.grad is not None and predictions.grad.isnan().all()


def test_quantile_losses_by_hand() -> None:
    # Midpoints 1/4 and 3/4. Target 1: above both predictions 0 and 0.5, losses 1/4 x 1/2 + 3/4 x 1/8.
    # Target -2: below both, 3/4 x (2 - 1/2) + 1/4 x (2.5 - 1/2).
    losses = quantile_huber_losses(th.tensor([[0.0, 0.5]]), th.tensor([[1.0, -2.0]]))
    assert losses.tolist() == [((0.125 + 0.09375) + (1.125 + 0.5)) / 2]


class Annealing(BaseCallback):
    """Keeps what the model logs."""

    def __init__(self) -> None:
        super().__init__()
        self.betas: list[float] = []

    def _on_step(self) -> bool:
        value = self.logger.name_to_value.get("train/beta")
        self.betas += [] if value is None else [value]
        return True


def test_one_update_by_hand() -> None:
    model = ReplayDQN(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        buffer_size=64,
        learning_starts=1000,
        policy_kwargs={"net_arch": [], "optimizer_class": th.optim.SGD},
        learning_rate=0.01,
        gamma=0.5,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"alpha": 1.0, "beta": 0.4, "epsilon": 0.125, "seed": 3},
        max_grad_norm=1e9,
        seed=1,
        device="cpu",
    )
    model.learn(64)
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer) and buffer._tree is not None
    buffer.update_priorities(np.arange(64), np.linspace(0, 3, 64))
    saved = buffer.state(), [buffer.chunk(0)]
    twin = FrameReplayBuffer(64, buffer.observation_space, buffer.action_space, "cpu", alpha=1.0, epsilon=0.125)
    twin.load_state(*saved)
    weight, bias = (parameter.detach().clone().double().numpy() for parameter in model.q_net.parameters())
    model._current_progress_remaining = 0.25
    model.train(1, batch_size=16)

    drawn = twin.sample_prioritised(16, beta=0.85)  # 1 - 0.6 x 0.25
    observations, actions, following, dones, rewards, _ = drawn.samples
    # The target network still is a copy of the network.
    best = (following.double().numpy() @ weight.T + bias).max(axis=1)
    targets = rewards.numpy().ravel() + (1 - dones.numpy().ravel()) * 0.5 * best
    action = actions.numpy().ravel()
    predictions = (observations.double().numpy() @ weight.T + bias)[np.arange(16), action]
    errors = targets - predictions
    weights = drawn.weights.double().numpy().ravel()
    assert 0 < weights.min() < weights.max() == 1
    huber = np.where(np.abs(errors) < 1, errors**2 / 2, np.abs(errors) - 0.5)
    assert model.logger.name_to_value["train/loss"] == pytest.approx((weights * huber).mean(), rel=1e-5)
    slope = -weights * np.clip(errors, -1, 1) / 16
    gradient = np.zeros_like(weight)
    np.add.at(gradient, action, slope[:, None] * observations.double().numpy())
    changed = next(iter(model.q_net.parameters())).detach().double().numpy()
    np.testing.assert_allclose(changed, weight - 0.01 * gradient, rtol=1e-4, atol=1e-7)
    # The same transition drawn twice has the same error.
    np.testing.assert_allclose(buffer._tree.values[drawn.indices], np.abs(errors) + 0.125, rtol=1e-4)


def test_weights_grow_to_full_over_the_training() -> None:
    model = ReplayQRDQN(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        buffer_size=100,
        learning_starts=10,
        train_freq=1,
        policy_kwargs={"net_arch": [], "n_quantiles": 3},
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"alpha": 0.6, "beta": 0.4},
        seed=1,
        device="cpu",
    )
    callback = Annealing()
    model.learn(100, callback=callback, log_interval=10**6)
    # After step t of 100 it is 0.4 + 0.6 t / 100; the callback of step t + 1 sees it.
    np.testing.assert_allclose(callback.betas, 0.4 + 0.6 * np.arange(11, 100) / 100)
    model._current_progress_remaining = -0.1
    model.train(1, batch_size=4)
    assert model.logger.name_to_value["train/beta"] == 1.0


def test_importance_weights_follow_a_budget_in_games() -> None:
    """The exponent grows from 0.4 to 1 with the games that are over, not with the steps of an endless budget."""
    model = ReplayDQN(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        buffer_size=100,
        learning_starts=1,
        train_freq=1,
        policy_kwargs={"net_arch": []},
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"alpha": 0.6, "beta": 0.4},
        seed=0,
        device="cpu",
    )
    seen: list[tuple[int, float]] = []
    budget = StopAtEpisodes(4)

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            seen.append((budget.n_episodes, model.beta_schedule(model._current_progress_remaining)))
            return True

    model.learn(10**9, callback=[budget, Look()])
    assert {games for games, _ in seen} == {0, 1, 2, 3, 4}
    assert all(beta == pytest.approx(0.4 + 0.6 * games / 4) for games, beta in seen)
    assert model.beta_schedule(0.25) == pytest.approx(0.85)  # of steps again, afterwards


def test_a_game_that_is_cut_is_not_over_whatever_the_configuration_says() -> None:
    options = TrainSettings(algo="dqn", obs="pixels", n_envs=1, device="cpu", set=("buffer_size=100",))
    settings = resolve(options)
    assert "handle_timeout_termination=False" in settings.hyperparameters["replay_buffer_kwargs"]  # for rl_zoo3
    env = make_vec_env(settings.environment, 1, 0)
    try:
        model: Any = build_agent(settings, env)
    finally:
        env.close()
    assert model.replay_buffer.handle_timeout_termination
