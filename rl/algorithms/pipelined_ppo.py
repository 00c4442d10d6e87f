"""PPO that looks at one half of the games while the other half plays, and keeps its books meanwhile, too.

Stable-Baselines3 lets all games wait while the network chooses actions, and while callbacks and the rollout buffer are
told what came of them. Here the games of each part (``EpisodeVecEnv.parts``) go on as soon as their own actions are
known. What is learned is the same: to the bit where the games are in one part, and on a processor up to the rounding of
a network that sees half as many games at once where they are in two. (A GPU draws other actions for two halves.)

Credits: Stable-Baselines3's ``OnPolicyAlgorithm.collect_rollouts`` (Raffin et al. 2021), whose meaning is kept;
A. Stooke and P. Abbeel 2018 (arXiv 1803.02811, section 2.1) for two alternating groups of games; Schulman et al. 2017
(arXiv 1707.06347) for PPO; Pardo et al. 2018 (arXiv 1712.00378) for values at a time limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from common.parallel import divided
from rl.envs.episode_vec_env import EpisodeVecEnv


class _Games:
    """The games of an environment by parts; any environment but our own is one part."""

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        self.parts = env.parts if isinstance(env, EpisodeVecEnv) else [slice(0, env.num_envs)]
        self._under_way: list[slice] = []

    def send(self, part: slice, actions: NDArray[np.int64]) -> None:
        """Let a part go on."""
        if isinstance(self._env, EpisodeVecEnv):
            self._env.send(part, actions)
        else:
            self._env.step_async(actions)
        self._under_way.append(part)

    def receive(self, part: slice) -> Any:
        """Wait for a part: observations, rewards, dones, infos."""
        self._under_way.remove(part)
        return self._env.receive(part) if isinstance(self._env, EpisodeVecEnv) else self._env.step_wait()

    def take_back(self, observations: NDArray[Any], starts: NDArray[np.bool_]) -> tuple[Any, Any]:
        """Undo the steps under way; what is not our own environment cannot, and finishes them.

        :param observations: before these steps
        :param starts: which games had begun with them
        :return: the same for going on
        """
        if not self._under_way:
            return observations, starts
        if isinstance(self._env, EpisodeVecEnv):
            state = self._env.state()
            for part in tuple(self._under_way):
                self.receive(part)
            return self._env.load_state(state), starts
        observations, _, starts, _ = self.receive(self._under_way[0])
        return observations, starts


class _Step:
    """One step of N games: what was seen, done and estimated, and what came of it."""

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


class PipelinedPPO(PPO):
    """PPO for discrete actions; settings as Stable-Baselines3's.

    ``parts`` is into how many an update divides its batch, see ``common.parallel``.

    After a part in which an episode ended no part goes on before the step is entered, and what went on before is taken
    back when a callback then stops the training: the games are then where the callback saw them.
    """

    parts = 1

    def train(self) -> None:
        """Stable-Baselines3's update, the networks of each batch divided among threads."""
        self.policy.evaluate_actions = self._evaluate_actions  # type: ignore[method-assign, assignment]
        try:
            super().train()
        finally:
            del self.policy.evaluate_actions

    def _evaluate_actions(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """As the policy's own: values (B, 1), log probabilities and entropies (B,). The distribution, which is one
        object of the policy's, is left to one thread."""
        policy = self.policy
        latent_pi, latent_vf = divided(self._latents, list(policy.parameters()), self.parts, observations)
        distribution = policy._get_action_dist_from_latent(latent_pi)
        return policy.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def _latents(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """What the action and the value head see."""
        policy = self.policy
        features = policy.extract_features(observations)
        if policy.share_features_extractor:
            latents: tuple[Tensor, Tensor] = policy.mlp_extractor(features)
            return latents
        actor, critic = features
        return policy.mlp_extractor.forward_actor(actor), policy.mlp_extractor.forward_critic(critic)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer.

        :return: False when a callback wants the training to stop
        """
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        games = _Games(env)
        step = _Step(self._last_obs, self._last_episode_starts)
        for part in games.parts:
            self._act(step, games, part)
        for left in reversed(range(n_rollout_steps)):
            following = _Step(step.next_observations, step.dones)
            acted = 0
            for part in games.parts:
                step.next_observations[part], step.rewards[part], step.dones[part], infos = games.receive(part)
                step.infos += infos
                if left and not step.dones.any():
                    self._act(following, games, part)
                    acted += 1
            self._last_obs, self._last_episode_starts = step.next_observations, step.dones
            if not self._enter(step, callback, rollout_buffer):
                self._last_obs, self._last_episode_starts = games.take_back(step.next_observations, step.dones)
                return False
            for part in games.parts[acted:] if left else ():
                self._act(following, games, part)
            step = following
        with torch.no_grad():
            last_values = self.policy.predict_values(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
        dones = np.asarray(self._last_episode_starts)
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.on_rollout_end()
        return True

    def _act(self, step: _Step, games: _Games, part: slice) -> None:
        """Choose the actions of a part and let it go on."""
        with torch.no_grad():
            actions, values, log_probs = self.policy(obs_as_tensor(step.observations[part], self.device))
        step.actions[part] = actions.cpu().numpy()
        step.values.append(values)
        step.log_probs.append(log_probs)
        games.send(part, step.actions[part])

    def _enter(self, step: _Step, callback: BaseCallback, rollout_buffer: RolloutBuffer) -> bool:
        """Tell the callbacks of a step and put it into the buffer.

        :return: False when a callback wants the training to stop
        """
        self.num_timesteps += len(step.dones)
        values, log_probs = torch.cat(step.values), torch.cat(step.log_probs)
        told = vars(step) | {"values": values, "log_probs": log_probs, "self": self, "rollout_buffer": rollout_buffer}
        callback.update_locals(told)
        if not callback.on_step():
            return False
        self._update_info_buffer(step.infos, step.dones)
        rewards = step.rewards
        for index in np.flatnonzero(step.dones):
            if step.infos[index].get("TimeLimit.truncated", False):
                seen = self.policy.obs_to_tensor(step.infos[index]["terminal_observation"])[0]
                with torch.no_grad():
                    rewards[index] += (self.gamma * self.policy.predict_values(seen)[0]).item()  # in float32
        rollout_buffer.add(
            step.observations,
            step.actions.reshape(-1, 1),
            rewards,
            step.episode_starts,
            values,
            log_probs,
        )
        return True
