"""PPO that keeps its books while the games play.

Stable-Baselines3 calls the callbacks and fills the rollout buffer between two steps of the games, which wait meanwhile.
Here that is done for one step while the games already play the next. What is learned is the same to the bit.

Credits: Stable-Baselines3's ``OnPolicyAlgorithm.collect_rollouts`` (Raffin et al. 2021), whose meaning is kept;
Schulman et al. 2017 (arXiv 1707.06347) for PPO; Pardo et al. 2018 (arXiv 1712.00378) for values at a time limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor


class Step(NamedTuple):
    """One step of N games: what was seen, done and estimated, and what came of it."""

    observations: NDArray[Any]
    episode_starts: NDArray[np.bool_]
    actions: NDArray[np.int64]
    values: Tensor
    log_probs: Tensor
    rewards: NDArray[np.float32]
    dones: NDArray[np.bool_]
    infos: list[dict[str, Any]]


class PipelinedPPO(PPO):
    """PPO for discrete actions; settings as Stable-Baselines3's.

    A step in which an episode ends is entered before the games go on, so that a callback which stops the training at a
    game's end finds nothing under way.
    """

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer.

        :return: False when a callback wants the training to stop
        """
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        waiting: Step | None = None
        for _ in range(n_rollout_steps):
            observations: Any = self._last_obs
            starts: Any = self._last_episode_starts
            with torch.no_grad():
                chosen, values, log_probs = self.policy(obs_as_tensor(observations, self.device))
            actions = chosen.cpu().numpy()
            env.step_async(actions)
            goes_on = waiting is None or self._enter(waiting, callback, rollout_buffer)
            self._last_obs, rewards, dones, infos = env.step_wait()  # type: ignore[assignment]
            self._last_episode_starts = dones
            if not goes_on:
                return False
            waiting = Step(observations, starts, actions, values, log_probs, rewards, dones, list(infos))
            if dones.any():
                if not self._enter(waiting, callback, rollout_buffer):
                    return False
                waiting = None
        if waiting is not None and not self._enter(waiting, callback, rollout_buffer):
            return False
        with torch.no_grad():
            last_values = self.policy.predict_values(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
        dones = np.asarray(self._last_episode_starts)
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.on_rollout_end()
        return True

    def _enter(self, step: Step, callback: BaseCallback, rollout_buffer: RolloutBuffer) -> bool:
        """Tell the callbacks of a step and put it into the buffer.

        :return: False when a callback wants the training to stop
        """
        self.num_timesteps += len(step.dones)
        callback.update_locals({"self": self, "rollout_buffer": rollout_buffer, **step._asdict()})
        if not callback.on_step():
            return False
        self._update_info_buffer(step.infos, step.dones)
        rewards = step.rewards
        for index in np.flatnonzero(step.dones):
            if step.infos[index].get("TimeLimit.truncated", False):
                seen = self.policy.obs_to_tensor(step.infos[index]["terminal_observation"])[0]
                with torch.no_grad():
                    rewards[index] += self.gamma * self.policy.predict_values(seen)[0].item()
        rollout_buffer.add(
            step.observations,
            step.actions.reshape(-1, 1),
            rewards,
            step.episode_starts,
            step.values,
            step.log_probs,
        )
        return True
