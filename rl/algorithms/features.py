"""Feature extractors.

Credits: Stable-Baselines3's ``BaseFeaturesExtractor``.
"""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


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
