"""PPO that chooses actions for one half of the environments while the other half steps.

Stable-Baselines3 lets all environments wait while the network chooses actions, and while the callbacks and the rollout
buffer get the step's results. Here the environments of each part (``EpisodeVecEnv.parts``) go on as soon as their own
actions are known. What is learned is the same: to the bit where there is one part, and on a processor up to the
rounding of a network that gets half as many observations at once where there are two. (A GPU samples other actions for
two halves.)

Credits: Stable-Baselines3's ``OnPolicyAlgorithm.collect_rollouts`` (Raffin et al. 2021), whose meaning is kept;
A. Stooke and P. Abbeel 2018 (arXiv 1803.02811, section 2.1) for two alternating groups of environments; Schulman et al.
2017 (arXiv 1707.06347) for PPO; S. Huang et al. 2022 (JMLR 23, CleanRL) for schedules by updates; Pardo et al. 2018
(arXiv 1712.00378) for values at a time limit; M. Hausknecht and N. Wagener 2022 (arXiv 2202.11818) for one noise per
transition.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from common.parallel import divided
from rl.algorithms.activation_noise import ActivationNoise, injected
from rl.algorithms.self_imitation import SelfImitation
from rl.buffers.rollout_buffer import LeanRolloutBuffer
from rl.envs.episode_vec_env import EpisodeVecEnv

Schedules = Literal["steps", "updates"]


class _Step:
    """One step of N environments: what the actions were chosen from and what came of them."""

    def __init__(self, observations: Any, episode_starts: Any) -> None:
        count = len(observations)
        self.observations: NDArray[Any] = observations
        self.episode_starts: NDArray[np.bool_] = episode_starts
        self.next_observations = np.empty_like(observations)
        self.actions = np.zeros(count, np.int64)
        self.values: list[Tensor] = []
        self.log_probs: list[Tensor] = []
        self.rewards = np.zeros(count, np.float32)
        self.dones = np.zeros(count, np.bool_)
        self.infos: list[dict[str, Any]] = []


class ScheduledPPO(PPO):
    """PPO whose schedules may go by updates: each has the values of the share of updates that are left.

    The first has the schedule's first value, the last that of one update left. By steps, as in Stable-Baselines3, the
    last one has the schedule's end, so a learning rate that falls to 0 makes it learn nothing from its rollout.

    With noisy activations, rollouts act by their expectation. An update has one noise for each transition, and takes
    the old log probabilities anew with it, so that the ratio of new and old is 1 before the first step. It needs a
    ``LeanRolloutBuffer``.
    """

    schedules: Schedules = "steps"
    noise: ActivationNoise | None = None
    _rows: Tensor | None = None  # noise of the transitions of the rollout

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        if self.schedules == "steps":
            super()._update_current_progress_remaining(num_timesteps, total_timesteps)
            return
        rollout = self.n_steps * self.n_envs
        updates = max(1, math.ceil(total_timesteps / rollout))
        self._current_progress_remaining = 1.0 - max(0, math.ceil(num_timesteps / rollout) - 1) / updates

    def train(self) -> None:
        """Stable-Baselines3's update, with the noise of noisy activations."""
        if self.noise is None:
            super().train()
            return
        self._rows = self.noise.draw(self.n_steps * self.n_envs)
        self.policy.set_training_mode(True)
        self.policy.evaluate_actions = self._evaluate_actions  # type: ignore[method-assign, assignment]
        try:
            self._take_log_probs_anew()
            super().train()
        finally:
            vars(self.policy).pop("evaluate_actions", None)
            self._rows = None

    def _take_log_probs_anew(self) -> None:
        buffer = self.rollout_buffer
        assert isinstance(buffer, LeanRolloutBuffer)
        log_probs = torch.from_numpy(buffer.log_probs).flatten()  # a view
        with torch.no_grad():
            for batch in buffer.get(self.batch_size):
                actions = batch.actions
                if isinstance(self.action_space, spaces.Discrete):
                    actions = actions.long().flatten()
                log_probs[buffer.chosen] = self._evaluate_actions(batch.observations, actions)[1].cpu()

    def _batch_rows(self) -> tuple[Tensor, ...]:
        """The noise of the batch that the rollout buffer has just given; nothing without noisy activations."""
        if self._rows is None:
            return ()
        assert isinstance(self.rollout_buffer, LeanRolloutBuffer)
        return (self._rows[self.rollout_buffer.chosen],)

    def _evaluate_actions(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """As the policy's own: values (B, 1), log probabilities and entropies (B,)."""
        with injected(next(iter(self._batch_rows()), None)):
            return type(self.policy).evaluate_actions(self.policy, observations, actions)


class PipelinedPPO(ScheduledPPO):
    """PPO for discrete actions in an ``EpisodeVecEnv``; settings as Stable-Baselines3's.

    ``parts`` is the number of parts into which an update divides its batch, see ``common.parallel``; ``self_imitation``
    learns again from the best of the past after each update.

    Once an episode has ended in a part, no further part begins its next step before callbacks have seen this one. If a
    callback then stops the training, the steps already begun are undone: the environments are where the callback saw
    them.
    """

    parts = 1
    self_imitation: SelfImitation | None = None

    def train(self) -> None:
        """Stable-Baselines3's update, the networks of each batch divided among threads; then self-imitation."""
        self.policy.evaluate_actions = self._evaluate_actions  # type: ignore[method-assign, assignment]
        try:
            super().train()
        finally:
            vars(self.policy).pop("evaluate_actions", None)
        if self.self_imitation is not None:
            assert self._last_episode_starts is not None
            self.self_imitation.add(self.rollout_buffer, self._last_episode_starts)
            self.logger.record("train/self_imitated_share", self.self_imitation.train(self))

    def _evaluate_actions(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """As the policy's own: values (B, 1), log probabilities and entropies (B,). The distribution, which is one
        object of the policy's, is left to one thread."""
        policy = self.policy
        inputs = (observations, *self._batch_rows())
        latent_pi, latent_vf = divided(self._latents, list(policy.parameters()), self.parts, *inputs)
        distribution = policy._get_action_dist_from_latent(latent_pi)
        return policy.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def _latents(self, observations: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the action and the value head see."""
        policy = self.policy
        with injected(rows):
            features = policy.extract_features(observations)
            if policy.share_features_extractor:
                latents: tuple[Tensor, Tensor] = policy.mlp_extractor(features)
                return latents
            actor, critic = features
            return policy.mlp_extractor.forward_actor(actor), policy.mlp_extractor.forward_critic(critic)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the rollout buffer.

        :param env: an ``EpisodeVecEnv``
        :return: False when a callback stops the training
        :raises TypeError: for any other environment, a wrapped one, too
        """
        if not isinstance(env, EpisodeVecEnv):
            raise TypeError(f"PipelinedPPO needs an EpisodeVecEnv, not {type(env).__name__}; use PPO")
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        step = _Step(self._last_obs, self._last_episode_starts)
        for part in env.parts:
            self._act(step, env, part)
        for left in reversed(range(n_rollout_steps)):
            next_step = _Step(step.next_observations, step.dones)
            acted: list[slice] = []  # the parts whose next step is under way
            for part in env.parts:
                step.next_observations[part], step.rewards[part], step.dones[part], infos = env.receive(part)
                step.infos += infos
                if left and not step.dones.any():
                    self._act(next_step, env, part)
                    acted.append(part)
            self._last_obs, self._last_episode_starts = step.next_observations, step.dones
            if not self._enter(step, callback, rollout_buffer):
                self._last_obs = _undo(env, acted, step.next_observations)
                return False
            for part in env.parts[len(acted) :] if left else ():
                self._act(next_step, env, part)
            step = next_step
        with torch.no_grad():
            last_values = self.policy.predict_values(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
        dones = np.asarray(self._last_episode_starts)
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.on_rollout_end()
        return True

    def _act(self, step: _Step, env: EpisodeVecEnv, part: slice) -> None:
        """Choose the actions of a part and begin its step."""
        with torch.no_grad():
            actions, values, log_probs = self.policy(obs_as_tensor(step.observations[part], self.device))
        step.actions[part] = actions.cpu().numpy()
        step.values.append(values)
        step.log_probs.append(log_probs)
        env.send(part, step.actions[part])

    def _enter(self, step: _Step, callback: BaseCallback, rollout_buffer: RolloutBuffer) -> bool:
        """Show a step to the callbacks and put it into the rollout buffer.

        :return: False when a callback stops the training
        """
        self.num_timesteps += len(step.dones)
        values, log_probs = torch.cat(step.values), torch.cat(step.log_probs)
        tensors = {"values": values, "log_probs": log_probs}
        callback.update_locals(vars(step) | tensors | {"self": self, "rollout_buffer": rollout_buffer})
        if not callback.on_step():
            return False
        self._update_info_buffer(step.infos, step.dones)
        rewards = step.rewards
        for index in np.flatnonzero(step.dones):
            if step.infos[index].get("TimeLimit.truncated", False):
                terminal = self.policy.obs_to_tensor(step.infos[index]["terminal_observation"])[0]
                with torch.no_grad():
                    rewards[index] += (self.gamma * self.policy.predict_values(terminal)[0]).item()  # in float32
        rollout_buffer.add(
            step.observations,
            step.actions.reshape(-1, 1),
            rewards,
            step.episode_starts,
            values,
            log_probs,
        )
        return True


def _undo(env: EpisodeVecEnv, parts: list[slice], observations: NDArray[Any]) -> NDArray[Any]:
    """Undo the steps of some parts that are under way.

    :param observations: before these steps, (N, ...)
    :return: the same, from the environment
    """
    if not parts:
        return observations
    state = env.state()
    for part in parts:
        env.receive(part)
    return env.load_state(state)
