"""A replay buffer for observations that end with a goal: the goal is kept as a number beside the action.

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057) for transitions with goals; Stable-Baselines3's ``ReplayBuffer``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from rl.buffers.replay_buffer import FrameReplayBuffer, Indices


class GoalReplayBuffer(FrameReplayBuffer):
    """As ``FrameReplayBuffer``, whose frames it keeps once, whatever the goals are.

    :param observation_space: with the goal's part at the end of the first axis
    :param action_space: discrete
    :param goal_inputs: that part for each goal, (G, ...)
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        *args: Any,
        goal_inputs: NDArray[np.uint8],
        **kwargs: Any,
    ) -> None:
        self._split = observation_space.shape[0] - goal_inputs.shape[1]
        shape = (self._split, *observation_space.shape[1:])
        both = spaces.MultiDiscrete([int(action_space.n), len(goal_inputs)])
        super().__init__(buffer_size, spaces.Box(0, 255, shape, np.uint8), both, *args, **kwargs)
        self._goal_inputs = torch.from_numpy(goal_inputs).to(self.device)

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Add one transition of every environment; ``infos`` hold the ``goal`` under which it was done."""
        goals = np.array([info["goal"] for info in infos])
        both = np.stack([np.asarray(action).reshape(self.n_envs), goals], axis=1)
        super().add(obs[:, : self._split], next_obs[:, : self._split], both, reward, done, infos)

    def _samples(self, slots: Indices, envs: Indices, env: VecNormalize | None) -> ReplayBufferSamples:
        samples = super()._samples(slots, envs, env)
        goal = self._goal_inputs[samples.actions[:, 1]]
        return samples._replace(
            observations=torch.cat([samples.observations, goal], dim=1),
            next_observations=torch.cat([samples.next_observations, goal], dim=1),
            actions=samples.actions[:, :1],
        )
