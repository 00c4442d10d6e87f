"""bfloat16 in the networks: what changes, by how much, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from rl.algorithms.features import RamBitsExtractor
from rl.algorithms.precision import set_precision

PIXELS = spaces.Box(0, 255, (4, 84, 84), np.uint8)
RAM = spaces.Box(0, 255, (128,), np.uint8)


def build(algorithm: Any, space: spaces.Box, tape_env: Any) -> Any:
    kwargs: dict[str, Any] = {"net_arch": [32, 16]}
    if space is RAM:
        kwargs["features_extractor_class"] = RamBitsExtractor
    if algorithm is QRDQN:
        kwargs["n_quantiles"] = 7
    arguments = {"n_steps": 8, "batch_size": 8} if algorithm is PPO else {"buffer_size": 10}
    policy = "CnnPolicy" if space is PIXELS else "MlpPolicy"
    return algorithm(policy, tape_env(space), policy_kwargs=kwargs, seed=3, device="cpu", **arguments)


@pytest.fixture
def env_of() -> Any:
    import gymnasium as gym

    class Still(gym.Env[Any, Any]):
        observation_space: spaces.Box

        def __init__(self, space: spaces.Box) -> None:
            self.observation_space, self.action_space = space, spaces.Discrete(5)

        def reset(self, **_: Any) -> Any:
            return np.zeros(self.observation_space.shape, np.uint8), {}

    return lambda space: DummyVecEnv([lambda: Still(space)])


def outputs(model: Any, observations: torch.Tensor) -> torch.Tensor:
    """Everything that the networks say: action preferences and value, or values of actions."""
    if isinstance(model, PPO):
        distribution = model.policy.get_distribution(observations).distribution
        assert isinstance(distribution, torch.distributions.Categorical)
        return torch.cat([distribution.logits, model.policy.predict_values(observations)], dim=1)
    network = model.q_net if isinstance(model, DQN) else model.quantile_net
    values: torch.Tensor = network(observations).flatten(1)
    return values


CASES = [(algorithm, space) for algorithm in (PPO, DQN, QRDQN) for space in (PIXELS, RAM)]
NAMES = [f"{algorithm.__name__}-{space.shape}" for algorithm, space in CASES]


@pytest.mark.parametrize(("algorithm", "space"), CASES, ids=NAMES)
def test_outputs_and_gradients_are_near_those_of_float32(algorithm: Any, space: spaces.Box, env_of: Any) -> None:
    plain, half = (build(algorithm, space, env_of) for _ in range(2))
    set_precision(half, "bfloat16")
    generator = np.random.default_rng(0)
    observations = torch.from_numpy(generator.integers(0, 256, (16, *space.shape), dtype=np.uint8))
    results = [outputs(model, observations) for model in (plain, half)]
    assert results[1].dtype == torch.float32
    scale = results[0].std()
    error = (results[0] - results[1]).abs().max()
    assert 0 < error < 0.1 * scale  # bfloat16 has 8 bits: it did round, and not more than that
    gradients = []
    for model, result in zip((plain, half), results, strict=True):
        (result**2).mean().backward()
        parameters = [p for p in model.policy.parameters() if p.grad is not None]
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
    assert gradients[0].shape == gradients[1].shape
    assert torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99


def test_weights_stay_float32_under_the_same_names(env_of: Any) -> None:
    plain, half = (build(PPO, PIXELS, env_of) for _ in range(2))
    set_precision(half, "bfloat16")
    before, after = plain.policy.state_dict(), half.policy.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == torch.float32 for name in before)


@pytest.mark.parametrize(("algorithm", "space"), CASES, ids=NAMES)
def test_what_has_been_learned_is_used_at_once(algorithm: Any, space: spaces.Box, env_of: Any) -> None:
    """Rounded weights are kept between rollout steps, and no longer."""
    model, fresh = (build(algorithm, space, env_of) for _ in range(2))
    set_precision(model, "bfloat16")
    set_precision(fresh, "bfloat16")
    observations = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, *space.shape), dtype=np.uint8))
    with torch.no_grad():
        before = outputs(model, observations)
        assert torch.equal(before, outputs(model, observations))
    for _ in range(3):
        (outputs(model, observations) ** 2).mean().backward()
        model.policy.optimizer.step()
        if algorithm is not PPO:
            target = model.q_net_target if algorithm is DQN else model.quantile_net_target
            online = model.q_net if algorithm is DQN else model.quantile_net
            with torch.no_grad():
                target(observations)
                polyak_update(online.parameters(), target.parameters(), 1.0)
                assert torch.equal(target(observations), online(observations))
        fresh.policy.load_state_dict(model.policy.state_dict())
        with torch.no_grad():
            after = outputs(model, observations)
            assert torch.equal(after, outputs(fresh, observations))
            assert not torch.equal(before, after)


@pytest.mark.parametrize("space", [PIXELS, RAM], ids=["pixels", "ram"])
def test_float32_is_stable_baselines3s_to_the_bit(space: spaces.Box, env_of: Any) -> None:
    plain, ours = (build(PPO, space, env_of) for _ in range(2))
    set_precision(ours, "float32")
    observations = torch.randint(
        0, 256, (4, *space.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    assert torch.equal(outputs(plain, observations), outputs(ours, observations))


def test_the_fused_optimiser_takes_adams_steps(env_of: Any) -> None:
    plain, ours = (build(PPO, RAM, env_of) for _ in range(2))
    set_precision(ours, "float32")
    assert ours.policy.optimizer.param_groups[0]["fused"] is True
    observations = torch.randint(0, 256, (8, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for _ in range(20):
        for model in (plain, ours):
            model.policy.optimizer.zero_grad()
            (outputs(model, observations) ** 2).mean().backward()
            model.policy.optimizer.step()
    for one, other in zip(plain.policy.parameters(), ours.policy.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_an_extractor_of_the_users_own_keeps_what_it_is_given(env_of: Any) -> None:
    """Only Stable-Baselines3's and this project's extractors are handed whole numbers."""
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Own(BaseFeaturesExtractor):
        def __init__(self, space: spaces.Box) -> None:
            super().__init__(space, 8)
            self.layer = nn.Linear(4 * 84 * 84, 8)
            self.received: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.received = x
            result: torch.Tensor = self.layer(x.flatten(1))
            return result

    model = PPO(
        "CnnPolicy",
        env_of(PIXELS),
        n_steps=8,
        batch_size=8,
        policy_kwargs={"features_extractor_class": Own},
        device="cpu",
    )
    set_precision(model, "bfloat16")
    outputs(model, torch.full((2, 4, 84, 84), 255, dtype=torch.uint8))
    extractor = model.policy.features_extractor
    assert isinstance(extractor, Own)
    received = extractor.received
    assert received is not None and received.dtype == torch.float32 and received.max() == 1.0
