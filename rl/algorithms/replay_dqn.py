"""DQN and QR-DQN that sample from this project's replay buffer, uniformly or by priority.

    ReplayQRDQN("CnnPolicy", env, replay_buffer_class=FrameReplayBuffer,
                replay_buffer_kwargs=dict(frame_stack=4, alpha=0.6, beta=0.4))

Without ``alpha`` the updates are those of Stable-Baselines3 and sb3-contrib, with faster quantiles
(``rl/algorithms/quantiles.py``). With ``alpha`` the loss has importance weights, whose exponent increases linearly from
``beta`` to 1 over the training, and the errors become the new priorities in the buffer.

Exploration is Stable-Baselines3's, one draw a step for all environments together, or ``independent``, one for each.

The priority of a transition is the absolute temporal difference for DQN. For QR-DQN it is the loss, as in M. Hessel et
al. for another distributional algorithm.

Credits: T. Schaul et al. 2016 (arXiv 1511.05952), algorithm 1; V. Mnih et al. 2015 (Nature 518) for DQN;
W. Dabney et al. 2017 (arXiv 1710.10044), equations 9 and 10, for QR-DQN; M. Hessel et al. 2018 (arXiv 1710.02298);
Stable-Baselines3 and sb3-contrib (Raffin et al. 2021), whose ``train`` methods these follow.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import numpy as np
import torch as th
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import QuantileNetwork
from stable_baselines3 import DQN
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch.nn import functional as F

from common.parallel import divided
from rl.algorithms.activation_noise import ActivationNoise, injected
from rl.algorithms.quantiles import mean_quantiles, quantile_huber_losses, quantiles_of_actions
from rl.buffers.replay_buffer import FrameReplayBuffer


class FrameBufferTraining(OffPolicyAlgorithm):
    """The update of both algorithms, a mixin that comes before the algorithm's class."""

    max_grad_norm: Any  # a number; QR-DQN's may be None
    exploration_rate: float
    parts = 1
    """Number of parts into which an update divides its batch, see ``common.parallel``."""
    independent = False
    """Whether each environment has its own draw of whether to explore."""
    noise: ActivationNoise | None = None
    """Of the network's noisy activations; the target network has their expectation."""

    def predict(
        self,
        observation: Any,
        state: tuple[Any, ...] | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[Any, ...] | None]:
        """Actions, epsilon-greedy unless ``deterministic``; with ``independent``, epsilon counts for each environment.

        The draws and the random actions come from the action space's generator.

        :param observation: (B, ...), or a single one
        :return: actions, int64 (B,), and the state as it was
        """
        if deterministic or not self.independent or not self.policy.is_vectorized_observation(observation):
            return super().predict(observation, state, episode_start, deterministic)
        greedy = self.action_space.np_random.random(len(observation)) >= self.exploration_rate
        actions = np.array([self.action_space.sample() for _ in greedy])
        if greedy.any():
            actions[greedy], _ = self.policy.predict(observation[greedy], deterministic=True)
        return actions, state

    @abstractmethod
    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        """Each transition's loss, whose mean is the algorithm's loss, and its error for the priority, both (B,)."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the network ``gradient_steps`` times, each time with a new batch.

        :raises ValueError: when the replay buffer is not a ``FrameReplayBuffer``
        """
        buffer = self.replay_buffer
        if not isinstance(buffer, FrameReplayBuffer):
            raise ValueError(f"{type(self).__name__} needs a FrameReplayBuffer")
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        beta = self.beta_schedule(self._current_progress_remaining)
        means = []
        for _ in range(gradient_steps):
            if buffer.prioritised:
                batch = buffer.sample_prioritised(batch_size, beta, self._vec_normalize_env)
                losses, errors = self._divided_losses(batch.samples)
                loss = (batch.weights.squeeze(1) * losses).mean()
                buffer.update_priorities(batch.indices, errors.detach().cpu().numpy())
            else:
                losses, _ = self._divided_losses(buffer.sample(batch_size, self._vec_normalize_env))
                loss = losses.mean()
            means.append(loss.item())
            self.policy.optimizer.zero_grad()
            loss.backward()
            if self.max_grad_norm is not None:
                th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(means))
        if buffer.prioritised:
            self.logger.record("train/beta", beta)

    def beta_schedule(self, progress_remaining: float) -> float:
        """The exponent of the importance weights: from the buffer's ``beta`` at the start to 1 at the end."""
        assert isinstance(self.replay_buffer, FrameReplayBuffer)
        return 1.0 - (1.0 - self.replay_buffer.beta) * max(progress_remaining, 0.0)  # the last rollout may exceed it

    def _divided_losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        parameters = list(self.policy.parameters())
        present = [tensor for tensor in samples if tensor is not None]  # discounts, which come last, may be absent
        noise = None if self.noise is None else self.noise.draw(len(samples.rewards))

        def compute(*rows: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
            if noise is None:
                return self._losses(ReplayBufferSamples(*rows))
            with injected(rows[0]):
                return self._losses(ReplayBufferSamples(*rows[1:]))

        losses, errors = divided(compute, parameters, self.parts, *([] if noise is None else [noise]), *present)
        return losses, errors

    def _discounts(self, samples: ReplayBufferSamples) -> th.Tensor | float:
        return self.gamma if samples.discounts is None else samples.discounts


class ReplayDQN(FrameBufferTraining, DQN):
    """DQN with a ``FrameReplayBuffer``; parameters as in Stable-Baselines3."""

    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        with th.no_grad():
            values = self.q_net_target(samples.next_observations).max(dim=1, keepdim=True).values
            targets = samples.rewards + (1 - samples.dones) * self._discounts(samples) * values
        predictions = self.q_net(samples.observations).gather(dim=1, index=samples.actions.long())
        losses = F.smooth_l1_loss(predictions, targets, reduction="none").squeeze(1)
        return losses, (targets - predictions).abs().squeeze(1)


class ReplayQRDQN(FrameBufferTraining, QRDQN):
    """QR-DQN with a ``FrameReplayBuffer``; parameters as in sb3-contrib."""

    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        with th.no_grad():
            hidden, head = _before_head(self.quantile_net_target, samples.next_observations)
            best = mean_quantiles(hidden, head, self.n_quantiles).argmax(dim=1)
            quantiles = quantiles_of_actions(hidden, head, best, self.n_quantiles)
            targets = samples.rewards + (1 - samples.dones) * self._discounts(samples) * quantiles
        hidden, head = _before_head(self.quantile_net, samples.observations)
        predictions = quantiles_of_actions(hidden, head, samples.actions.long().squeeze(1), self.n_quantiles)
        losses = quantile_huber_losses(predictions, targets)
        return losses, losses


def _before_head(network: QuantileNetwork, observations: Any) -> tuple[th.Tensor, th.nn.Linear]:
    """The input of the last layer, (B, features) in float32, and that layer."""
    *layers, head = network.quantile_net
    hidden = network.extract_features(observations, network.features_extractor)
    for layer in layers:
        hidden = layer(hidden)
    return hidden.float(), cast(th.nn.Linear, head)
