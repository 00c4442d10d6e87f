"""Feature extractors.

Credits: Stable-Baselines3's ``BaseFeaturesExtractor``; V. Mnih et al. 2013 (arXiv 1312.5602) for the network of the
first DQN; L. Espeholt et al. 2018 (arXiv 1802.01561, figure 3, the large architecture) for IMPALA's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class RamBitsExtractor(BaseFeaturesExtractor):
    """The bits of the RAM as numbers 0 and 1, the most significant bit of each byte first, as in ``numpy.unpackbits``.

    Many of a game's bytes are flags and counters, whose single bits carry the information. Buffers store the bytes,
    which take an eighth of the memory; the bits are computed here.

    :param observation_space: uint8 (bytes,)
    """

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, features_dim=8 * observation_space.shape[0])
        self.register_buffer("shifts", torch.arange(7, -1, -1, dtype=torch.uint8), persistent=False)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """From bytes (B, N), of any type with values 0 to 255, to bits float32 (B, 8 N)."""
        assert isinstance(self.shifts, torch.Tensor)
        bits = (observations.to(torch.uint8).unsqueeze(-1) >> self.shifts) & 1
        return bits.flatten(start_dim=1).float()


class ConvolutionalExtractor(BaseFeaturesExtractor):
    """Layers of convolutions, and ``features_dim`` units with ReLU on all that they find.

    :param observation_space: uint8 (frames, height, width)
    :param features_dim: units of the last layer
    :param convolutions: from pictures float (B, frames, height, width) to float (B, channels, height, width)
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int, convolutions: Sequence[nn.Module]) -> None:
        super().__init__(observation_space, features_dim)
        flat = nn.Sequential(*convolutions, nn.Flatten())
        with torch.no_grad():
            found = flat(torch.zeros(1, *observation_space.shape)).shape[1]
        self.layers = nn.Sequential(*flat, nn.Linear(found, features_dim), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """From pictures float (B, frames, height, width), 0 to 1, to features float32 (B, features_dim)."""
        features: torch.Tensor = self.layers(observations)
        return features


class CNN2013(ConvolutionalExtractor):
    """The network of the first DQN (Mnih et al. 2013, section 4.1): smaller than that of 2015, ``NatureCNN``.

    16 filters of 8x8 with stride 4, 32 filters of 4x4 with stride 2, 256 units, each with ReLU.

    :param observation_space: uint8 (frames, height, width)
    :param features_dim: units of the last layer
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        frames = observation_space.shape[0]
        first, second = nn.Conv2d(frames, 16, 8, stride=4), nn.Conv2d(16, 32, 4, stride=2)
        super().__init__(observation_space, features_dim, [first, nn.ReLU(), second, nn.ReLU()])


class ImpalaCNN(ConvolutionalExtractor):
    """The residual network of IMPALA (Espeholt et al. 2018, figure 3 on the right), without its LSTM.

    Three sections of 16, 32 and 32 channels: a convolution, pooling of 3x3 with stride 2, two residual blocks. Then
    ReLU, and ``features_dim`` units with ReLU. All convolutions are 3x3.

    :param observation_space: uint8 (frames, height, width)
    :param features_dim: units of the last layer
    :param width: factor by which the channels are multiplied, from 1
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256, width: int = 1) -> None:
        channels = [observation_space.shape[0], *(width * channels for channels in (16, 32, 32))]
        sections: list[nn.Module] = []
        for before, after in pairwise(channels):
            sections += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),
                ResidualBlock(after),
                ResidualBlock(after),
            ]
        super().__init__(observation_space, features_dim, [*sections, nn.ReLU()])


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(ReLU(x)))), both convolutions 3x3 with as many channels as x.

    :param channels: of x
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From float (B, channels, height, width) to the same shape."""
        change: torch.Tensor = self.second(self.first(x.relu()).relu())
        return x + change
