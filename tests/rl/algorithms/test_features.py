"""The bits of RAM inside the network against numpy.unpackbits.

Credits: numpy and Stable-Baselines3, which the extractor is compared with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import nn

from rl import registration  # noqa: F401  registers the RAM ids
from rl.algorithms.features import ImpalaCNN, RamBitsExtractor, ResidualBlock
from rl.wrappers import RamBits

SPACE = spaces.Box(0, 255, (128,), np.uint8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_every_byte_is_unpacked_as_numpy_does(dtype: torch.dtype) -> None:
    bytes_ = np.arange(256, dtype=np.uint8).reshape(2, 128)
    features = RamBitsExtractor(SPACE)(torch.from_numpy(bytes_).to(dtype))
    assert features.shape == (2, 1024) and features.dtype == torch.float32
    assert np.array_equal(features.numpy(), np.unpackbits(bytes_, axis=1))


def test_one_byte_by_hand() -> None:
    extractor = RamBitsExtractor(spaces.Box(0, 255, (1,), np.uint8))
    assert extractor.features_dim == 8
    assert extractor(torch.tensor([[0b1000_0110]], dtype=torch.uint8)).tolist() == [[1, 0, 0, 0, 0, 1, 1, 0]]


def test_what_a_model_hands_over_is_what_the_wrapper_would_show() -> None:
    """Through Stable-Baselines3's own preprocessing, as in training: the same bits as ``rl.wrappers.RamBits``."""
    env = gymnasium.make("Pong-ram-v4")
    observation, _ = env.reset(seed=1)
    batch = preprocess_obs(torch.from_numpy(observation[None]), SPACE)
    assert np.array_equal(RamBitsExtractor(SPACE)(batch)[0].numpy(), RamBits(env).observation(observation))
    env.close()


class Memory(gymnasium.Env):
    """Shows 16 bytes; only there to give a model its spaces."""

    observation_space = spaces.Box(0, 255, (16,), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_it_has_no_weights_of_its_own(algorithm: type[PPO] | type[DQN]) -> None:
    model = algorithm(
        "MlpPolicy", Memory(), policy_kwargs={"features_extractor_class": RamBitsExtractor, "net_arch": [8]}
    )
    assert not list(RamBitsExtractor(SPACE).parameters())
    weights = model.policy.state_dict()
    assert not [name for name in weights if "shifts" in name]
    # The first layer takes 8 inputs a byte.
    assert 128 in {tensor.shape[-1] for tensor in weights.values() if tensor.ndim == 2}


PICTURES = spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.mark.parametrize("width", [1, 2])
def test_the_network_of_impala_has_the_papers_layers(width: int) -> None:
    network = ImpalaCNN(PICTURES, width=width)
    convolutions = [tuple(layer.weight.shape[:2]) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    channels = [4, 16 * width, 32 * width, 32 * width]
    expected = [pair for before, after in pairwise(channels) for pair in [(after, before), *4 * [(after, after)]]]
    assert convolutions == expected and len(convolutions) == 15
    (linear,) = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    # 84 pixels, halved three times and rounded up: 42, 21, 11.
    assert tuple(linear.weight.shape) == (256, 32 * width * 11 * 11)
    assert network(torch.rand(2, 4, 84, 84)).shape == (2, 256)


def test_a_residual_block_without_weights_changes_nothing() -> None:
    block = ResidualBlock(3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(block(x), x)


def test_a_residual_block_by_hand() -> None:
    """One channel, centres of the kernels 2 and 3, biases 1 and -1: x + 3 relu(2 relu(x) + 1) - 1."""
    block = ResidualBlock(1)
    for layer, weight, bias in ((block.first, 2.0, 1.0), (block.second, 3.0, -1.0)):
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.weight[0, 0, 1, 1] = weight
        assert layer.bias is not None
        nn.init.constant_(layer.bias, bias)
    x = torch.tensor([[[[-1.0, 0.0], [0.5, 2.0]]]])
    assert torch.equal(block(x), torch.tensor([[[[1.0, 2.0], [5.5, 16.0]]]]))
