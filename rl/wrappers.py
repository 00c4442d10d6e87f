"""Gymnasium wrappers for configurations: the bits of a game's RAM, scaled rewards, rewards with a floor.

A file of ``rl_zoo_configs/`` names them under ``env_wrapper`` as ``rl.wrappers.RamBits``,
``rl.wrappers.ScaleReward`` and ``rl.wrappers.FloorReward``; rl-baselines3-zoo finds them by the same names.

Credits: the interface is gymnasium's (Towers et al. 2024, arXiv:2407.17032).
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from common.errors import UserError

Bytes = NDArray[np.uint8]


class RamBits(gymnasium.ObservationWrapper[Bytes, Any, Bytes]):
    """Makes every bit of the RAM a separate input: 128 bytes become 1,024 zeros and ones.

    Games keep flags, counters and positions in single bits and half bytes. As separate inputs they are directly
    available to a network, which otherwise has to learn to decompose the bytes.

    :param env: an environment whose observations are one row of bytes: Box, dtype uint8, shape ``(n,)``
    :raises UserError: for any other observation

    The new observation is a Box of dtype uint8 with values 0 and 1 and shape ``(8 * n,)``: byte after byte,
    the most significant bit first, as `numpy.unpackbits` gives them.
    """

    def __init__(self, env: gymnasium.Env[Bytes, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 1:
            raise UserError(f"RamBits needs the bytes of a game's RAM (obs_type='ram'), not observations of {space}")
        self.observation_space = spaces.Box(low=0, high=1, shape=(8 * space.shape[0],), dtype=np.uint8)

    def observation(self, observation: Bytes) -> Bytes:
        return np.unpackbits(observation)


class ScaleReward(gymnasium.RewardWrapper[Any, Any]):
    """Divides every reward by a constant. Unlike clipping to the sign, this keeps the ratios between rewards.

    :param env: the environment
    :param divisor: finite and above 0
    :raises UserError: for any other divisor
    """

    def __init__(self, env: gymnasium.Env[Any, Any], divisor: float) -> None:
        super().__init__(env)
        if isinstance(divisor, bool) or not isinstance(divisor, int | float) or not 0 < divisor < float("inf"):
            raise UserError(f"ScaleReward's divisor must be a finite number above 0, not {divisor!r}")
        self.divisor = float(divisor)

    def reward(self, reward: SupportsFloat) -> float:
        return float(reward) / self.divisor


class FloorReward(gymnasium.RewardWrapper[Any, Any]):
    """Raises rewards that are lower than a floor to it.

    BipedalWalker's steps earn about 0.3 points each and a fall costs 100. With so large a penalty agents first learn to
    stand still.

    :param env: the environment
    :param penalty: the floor is minus this; finite and above 0
    :raises UserError: for any other penalty
    """

    def __init__(self, env: gymnasium.Env[Any, Any], penalty: float) -> None:
        super().__init__(env)
        if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 < penalty < float("inf"):
            raise UserError(f"FloorReward's penalty must be a finite number above 0, not {penalty!r}")
        self.penalty = float(penalty)

    def reward(self, reward: SupportsFloat) -> float:
        return max(float(reward), -self.penalty)
